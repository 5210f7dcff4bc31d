"""The budget of decoded pixels: who waits for whom, and that every wait ends."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from model import preprocess
from model.decode_budget import DecodeBudget
from model.preprocess import decode_image

SOON, LONG = 0.1, 10.0


class Holder:
    """A thread that reserves pixels and holds them until it is told to let go."""

    def __init__(self, budget: DecodeBudget, pixels: int) -> None:
        self.got, self._let_go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(budget, pixels))
        self._thread.start()

    def _hold(self, budget: DecodeBudget, pixels: int) -> None:
        with budget.reserve(pixels):
            self.got.set()
            self._let_go.wait(LONG)

    def release(self) -> None:
        self._let_go.set()
        self._thread.join(LONG)
        assert not self._thread.is_alive()


@contextmanager
def holding(budget: DecodeBudget, pixels: int) -> Iterator[Holder]:
    holder = Holder(budget, pixels)
    try:
        yield holder
    finally:
        holder.release()


def test_what_fits_runs_side_by_side_and_what_does_not_waits() -> None:
    budget = DecodeBudget(100)
    with holding(budget, 60) as first, holding(budget, 40) as second:
        assert first.got.wait(LONG)
        assert second.got.wait(LONG)
        with holding(budget, 1) as third:
            assert not third.got.wait(SOON)
            second.release()
            assert third.got.wait(LONG)


def test_an_image_larger_than_the_budget_runs_alone() -> None:
    budget = DecodeBudget(100)
    with holding(budget, 10) as small, ExitStack() as stack:
        assert small.got.wait(LONG)
        large = stack.enter_context(holding(budget, 1000))
        assert not large.got.wait(SOON)
        small.release()
        assert large.got.wait(LONG)
        with holding(budget, 1) as next_one:
            assert not next_one.got.wait(SOON)
            large.release()
            assert next_one.got.wait(LONG)


def test_small_images_do_not_overtake_a_large_one() -> None:
    budget = DecodeBudget(100)
    with holding(budget, 50) as first:
        assert first.got.wait(LONG)
        with holding(budget, 100) as large:
            assert not large.got.wait(SOON)
            with holding(budget, 10) as small:
                assert not small.got.wait(SOON)
                first.release()
                assert large.got.wait(LONG)
                large.release()
                assert small.got.wait(LONG)


def test_a_failing_decode_gives_its_pixels_back() -> None:
    budget = DecodeBudget(100)
    with pytest.raises(ValueError, match="damaged"), budget.reserve(100):
        raise ValueError("damaged")
    with holding(budget, 100) as holder:
        assert holder.got.wait(LONG)


def test_many_threads_stay_within_the_budget_and_all_come_through() -> None:
    budget, lock, barrier = DecodeBudget(100), threading.Lock(), threading.Barrier(16)
    in_use, most, done = 0, 0, 0

    def decode(pixels: int) -> None:
        nonlocal in_use, most, done
        barrier.wait(LONG)
        for _ in range(50):
            with budget.reserve(pixels):
                with lock:
                    in_use += pixels
                    most = max(most, in_use if pixels <= 100 else 100)
                    assert pixels <= 100 or in_use == pixels
                with lock:
                    in_use -= pixels
        with lock:
            done += 1

    threads = [threading.Thread(target=decode, args=(10 + 7 * number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert done == 16
    assert 50 < most <= 100


def test_a_forked_process_starts_with_an_empty_budget() -> None:
    budget = DecodeBudget(100)
    with budget.reserve(100):
        child = os.fork()
        if child == 0:
            with budget.reserve(100):
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_decoding_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (10, 10), "red").save(path)
    budget = DecodeBudget(150)
    monkeypatch.setattr(preprocess, "DECODE_BUDGET", budget)
    sizes: list[tuple[int, int]] = []
    thread = threading.Thread(target=lambda: sizes.append(decode_image(path).size))
    with budget.reserve(51):
        thread.start()
        thread.join(SOON)
        assert sizes == []
    thread.join(LONG)
    assert sizes == [(10, 10)]
