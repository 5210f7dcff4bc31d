"""Batches: what comes together is worked on together, and nobody suffers for another."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from service.core.batching import BatchLimits, BatchOwner
from service.core.budget import Workers
from service.core.errors import OverloadedError
from service.obs.timing import Stopwatch

T = TypeVar("T")
SLOW = BatchLimits(max_wait_s=10)


class Doubling:
    """Work that doubles numbers, refuses odd ones, and waits for a gate to open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        assert self.gate.wait(10)
        if odd := [item for item in items if item % 2]:
            raise ValueError(f"{odd[0]} is odd")
        return [2 * item for item in items]


def run(
    steps: Callable[[BatchOwner[int, int], Doubling], Awaitable[T]],
    limits: BatchLimits = SLOW,
    size_of: Callable[[int], int] | None = None,
) -> T:
    async def inside() -> T:
        work, workers = Doubling(), Workers(2)
        owner = BatchOwner("text", work, workers, limits, stage="encode", size_of=size_of)
        try:
            return await steps(owner, work)
        finally:
            workers.close()

    return asyncio.run(inside())


def submit(owner: BatchOwner[int, int], item: int) -> "asyncio.Task[int]":
    return asyncio.ensure_future(owner.submit(item, Stopwatch()))


async def blocked(owner: BatchOwner[int, int], work: Doubling) -> "asyncio.Task[int]":
    """A first item that is being worked on until the gate opens."""
    work.gate.clear()
    first = submit(owner, 0)
    while not work.batches:
        await asyncio.sleep(0.001)
    return first


def test_an_item_alone_does_not_wait() -> None:
    async def steps(owner: BatchOwner[int, int], _: Doubling) -> None:
        started = time.perf_counter()
        assert await owner.submit(4, Stopwatch()) == 8
        assert time.perf_counter() - started < 1, "the longest wait is ten seconds"

    run(steps)


def test_what_comes_in_one_turn_of_the_loop_is_one_batch_in_order() -> None:
    async def steps(owner: BatchOwner[int, int], work: Doubling) -> None:
        assert await asyncio.gather(*(submit(owner, 2 * n) for n in range(5))) == [0, 4, 8, 12, 16]
        assert work.batches == [[0, 2, 4, 6, 8]]

    run(steps)


def test_what_comes_while_one_lane_is_busy_is_the_next_batch() -> None:
    async def steps(owner: BatchOwner[int, int], work: Doubling) -> None:
        first = await blocked(owner, work)
        later = [submit(owner, 2 * n) for n in range(1, 4)]
        await asyncio.sleep(0.02)
        assert len(work.batches) == 1
        work.gate.set()
        assert await asyncio.gather(first, *later) == [0, 4, 8, 12]
        assert work.batches == [[0], [2, 4, 6]]

    run(steps)


def test_a_full_batch_goes_to_a_free_lane_at_once() -> None:
    async def steps(owner: BatchOwner[int, int], work: Doubling) -> None:
        first = await blocked(owner, work)
        later = [submit(owner, 2), submit(owner, 4)]
        await asyncio.sleep(0.02)
        assert work.batches == [[0], [2, 4]]
        work.gate.set()
        await asyncio.gather(first, *later)

    run(steps, BatchLimits(max_batch=2, max_wait_s=10, lanes=2))


def test_a_batch_that_is_not_full_goes_to_a_free_lane_after_the_longest_wait() -> None:
    async def steps(owner: BatchOwner[int, int], work: Doubling) -> None:
        first = await blocked(owner, work)
        second = submit(owner, 2)
        await asyncio.sleep(0.01)
        assert work.batches == [[0]]
        await asyncio.sleep(0.1)
        assert work.batches == [[0], [2]]
        work.gate.set()
        await asyncio.gather(first, second)

    run(steps, BatchLimits(max_wait_s=0.05, lanes=2))


def test_no_batch_is_larger_than_the_limit_and_all_are_answered() -> None:
    async def steps(owner: BatchOwner[int, int], work: Doubling) -> None:
        assert await asyncio.gather(*(submit(owner, 2 * n) for n in range(10))) == [4 * n for n in range(10)]
        assert [len(batch) for batch in work.batches] == [4, 4, 2]

    run(steps, BatchLimits(max_batch=4))


def test_items_of_the_size_of_the_oldest_go_with_it() -> None:
    async def steps(owner: BatchOwner[int, int], work: Doubling) -> None:
        await asyncio.gather(*(submit(owner, n) for n in (10, 90, 12, 92, 14, 94)))
        assert work.batches == [[10, 12, 14], [90, 92, 94]]

    run(steps, BatchLimits(max_batch=3), size_of=lambda item: item)


def test_a_bad_item_harms_only_itself() -> None:
    async def steps(owner: BatchOwner[int, int], _: Doubling) -> None:
        results = await asyncio.gather(*(submit(owner, n) for n in (2, 3, 4)), return_exceptions=True)
        assert (results[0], results[2]) == (4, 8)
        assert isinstance(results[1], ValueError)
        assert await owner.submit(6, Stopwatch()) == 12

    run(steps)


def test_what_its_caller_has_given_up_is_not_worked_on() -> None:
    async def steps(owner: BatchOwner[int, int], work: Doubling) -> None:
        first = await blocked(owner, work)
        given_up, kept = submit(owner, 2), submit(owner, 4)
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0.01)
        work.gate.set()
        assert await asyncio.gather(first, kept) == [0, 8]
        assert work.batches == [[0], [4]]

    run(steps)


def test_more_than_may_wait_is_refused_with_a_time_to_come_again() -> None:
    async def steps(owner: BatchOwner[int, int], work: Doubling) -> None:
        first = await blocked(owner, work)
        waiting = [submit(owner, 2), submit(owner, 4)]
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError) as refusal:
            await owner.submit(6, Stopwatch())
        assert refusal.value.retry_after_s >= 1
        work.gate.set()
        assert await asyncio.gather(first, *waiting) == [0, 4, 8]
        assert await owner.submit(6, Stopwatch()) == 12

    run(steps, BatchLimits(max_queue=2))


def test_a_stopwatch_gets_the_wait_and_the_work() -> None:
    async def steps(owner: BatchOwner[int, int], _: Doubling) -> None:
        watch = Stopwatch()
        await owner.submit(2, watch)
        assert "queue;dur=" in watch.header()
        assert "encode;dur=" in watch.header()

    run(steps)
