"""Threads over many items, with a bound on what is under way."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event, Lock

import pytest

from model.descriptions.parallel import in_parallel
from tests.servers import eventually


def test_every_item_has_its_result_once() -> None:
    assert sorted(in_parallel(lambda item: item * item, range(100), 7)) == [item * item for item in range(100)]
    assert list(in_parallel(str, [], 3)) == []


def test_no_more_is_taken_than_is_under_way() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(1000):
            taken += 1
            yield item

    with closing(in_parallel(str, items(), 2)) as results:
        for count, _ in enumerate(results, start=1):
            assert taken - count <= 4


def test_so_many_run_at_the_same_time() -> None:
    lock, together = Lock(), Event()
    running = 0

    def run(_: int) -> bool:
        nonlocal running
        with lock:
            running += 1
            if running == 3:
                together.set()
        return together.wait(10)

    assert all(in_parallel(run, range(3), 3))


def test_an_error_ends_it_and_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def run(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise KeyError(item)
        return item

    with pytest.raises(KeyError):
        list(in_parallel(run, range(1000), 1))
    assert max(begun) <= 3 + 2


def test_a_caller_that_stops_waits_for_nothing_and_nothing_more_is_begun() -> None:
    begun: list[int] = []
    release = Event()

    def run(item: int) -> int:
        begun.append(item)
        if item:
            assert release.wait(20)
        return item

    results = in_parallel(run, range(10), 1)
    assert next(results) == 0
    eventually(lambda: begun == [0, 1], "the next one is begun")
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 10
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("describe"):
            thread.join(10)
    assert begun == [0, 1]
