"""Equal work is done once, whoever gives up meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from service.cache.single_flight import SingleFlight

T = TypeVar("T")


class Slow:
    """A computation that waits for a gate; counts how often it began and whether it was cancelled."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._error is not None:
            raise self._error
        return 7


def run(steps: Callable[[], Awaitable[T]]) -> T:
    async def inside() -> T:
        return await steps()

    return asyncio.run(inside())


async def _three(flights: SingleFlight[int], slow: Slow) -> list["asyncio.Task[int]"]:
    tasks = [asyncio.ensure_future(flights.run("key", slow)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def test_equal_keys_are_computed_once_and_then_again() -> None:
    async def steps() -> None:
        flights, slow = SingleFlight[int](), Slow()
        tasks = await _three(flights, slow)
        other = asyncio.ensure_future(flights.run("other", slow))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        slow.gate.set()
        assert await asyncio.gather(*tasks, other) == [7, 7, 7, 7]
        assert slow.begun == 2
        assert await flights.run("key", slow) == 7
        assert slow.begun == 3, "nothing is kept"

    run(steps)


def test_an_error_reaches_every_caller() -> None:
    async def steps() -> None:
        flights, slow = SingleFlight[int](), Slow(ValueError("no"))
        tasks = await _three(flights, slow)
        slow.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] * 3

    run(steps)


def test_a_caller_that_leaves_does_not_take_the_work_along() -> None:
    async def steps() -> None:
        flights, slow = SingleFlight[int](), Slow()
        first, second, third = await _three(flights, slow)
        first.cancel()
        await asyncio.sleep(0)
        slow.gate.set()
        assert await asyncio.gather(second, third) == [7, 7]
        assert slow.cancelled == 0
        with pytest.raises(asyncio.CancelledError):
            await first

    run(steps)


def test_the_last_caller_to_leave_cancels_the_work_and_the_next_one_begins_anew() -> None:
    async def steps() -> None:
        flights, slow = SingleFlight[int](), Slow()
        tasks = await _three(flights, slow)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        slow.gate.set()
        assert await flights.run("key", slow) == 7
        assert (slow.begun, slow.cancelled) == (2, 1)

    run(steps)
