"""When a failing store is left alone, and what of its time-outs is our own fault."""

import asyncio
import time

import pytest

from service.cache.breaker import Breaker, LoopLag


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(pause_s=3.0, max_lag_s=0.02, trial_s=0.2, clock=clock)


def test_a_failure_shuts_everybody_out_for_the_pause(breaker: Breaker, clock: Clock) -> None:
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now = 2.99
    assert not breaker.allows()


def test_after_the_pause_one_caller_tries_for_all(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    clock.now = 3.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


def test_a_trial_that_fails_starts_a_new_pause(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    clock.now = 3.0
    assert breaker.allows()
    breaker.failed()
    clock.now = 5.9
    assert not breaker.allows()


def test_a_trial_that_is_cancelled_is_forgotten(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    clock.now = 3.0
    assert breaker.allows()
    clock.now = 3.3
    assert breaker.allows()


def test_a_time_out_counts_only_where_the_loop_was_free(breaker: Breaker) -> None:
    breaker.timed_out(lag_s=0.08)
    assert breaker.allows()
    breaker.timed_out(lag_s=0.001)
    assert not breaker.allows()


def test_a_store_that_never_answers_is_left_alone_however_late_the_loop_is(breaker: Breaker, clock: Clock) -> None:
    for now in (0.0, 1.0, 2.0):
        clock.now = now
        breaker.timed_out(lag_s=0.08)
        assert breaker.allows()
    clock.now = 3.0
    breaker.timed_out(lag_s=0.08)
    assert not breaker.allows()


def test_an_answer_in_between_keeps_it_in_use(breaker: Breaker, clock: Clock) -> None:
    for now in range(10):
        clock.now = now
        breaker.timed_out(lag_s=0.08)
        breaker.succeeded()
    breaker.timed_out(lag_s=0.08)
    assert breaker.allows()


async def _lag(stall_s: float, *, pending: bool) -> float:
    """The lag that is seen where the loop stands still for `stall_s`, before or after its timer has come."""
    lag = LoopLag()
    with lag.watch() as lag_s:
        await asyncio.sleep(0.03)
        time.sleep(stall_s)
        if not pending:
            await asyncio.sleep(0.03)
        return lag_s()


@pytest.mark.parametrize("pending", [True, False])
def test_a_stall_of_the_loop_is_seen(pending: bool) -> None:
    assert 0.06 <= asyncio.run(_lag(0.08, pending=pending)) < 0.2


def test_a_loop_that_only_waits_is_not_late() -> None:
    assert asyncio.run(_lag(0.0, pending=False)) < 0.02


def test_a_stall_of_before_is_not_counted() -> None:
    async def scenario() -> float:
        lag = LoopLag()
        with lag.watch():
            time.sleep(0.08)
            with lag.watch() as lag_s:
                await asyncio.sleep(0.02)
                return lag_s()

    assert asyncio.run(scenario()) < 0.02
