"""When a failing store is left alone, and what of its time-outs is our own fault."""

import asyncio
import time

import pytest

from service.cache.breaker import SLOW_IN_A_ROW, Breaker, LoopLag


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


@pytest.fixture
def patient(clock: Clock) -> Breaker:
    return Breaker(pause_s=1.0, max_lag_s=0.02, trial_s=0.2, max_pause_s=4.0, slow_s=0.01, clock=clock)


def _pause_s(breaker: Breaker, clock: Clock) -> float:
    """Fail now; how long it is until somebody may try."""
    breaker.failed()
    began = clock.now
    while not breaker.allows():
        clock.now += 0.5
    return clock.now - began


def test_the_pause_doubles_with_every_failed_trial_up_to_a_bound(patient: Breaker, clock: Clock) -> None:
    assert [_pause_s(patient, clock) for _ in range(5)] == [1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_store_that_comes_and_goes_is_left_alone_for_longer_and_longer(patient: Breaker, clock: Clock) -> None:
    pauses = []
    for _ in range(4):
        pauses.append(_pause_s(patient, clock))
        patient.succeeded()
        clock.now += 1.0
    assert pauses == [1.0, 2.0, 4.0, 4.0]
    clock.now += 9.0
    assert _pause_s(patient, clock) == 1.0


def test_many_who_fail_together_are_one_failure(patient: Breaker, clock: Clock) -> None:
    for _ in range(10):
        patient.failed()
    clock.now = 1.0
    assert patient.allows()


def test_slow_answers_in_a_row_open_it(patient: Breaker) -> None:
    for _ in range(SLOW_IN_A_ROW - 1):
        patient.succeeded(0.011)
    patient.succeeded(0.009)
    for _ in range(SLOW_IN_A_ROW - 1):
        patient.succeeded(0.011)
    assert patient.closed
    patient.succeeded(0.011)
    assert not patient.closed


def test_a_slow_answer_does_not_end_a_trial_well(patient: Breaker, clock: Clock) -> None:
    patient.failed()
    clock.now = 1.0
    assert patient.allows()
    patient.succeeded(0.011)
    assert (patient.closed, patient.allows()) == (False, False)
    patient.succeeded(0.009)
    assert patient.closed


def test_the_state_is_told(patient: Breaker, clock: Clock) -> None:
    states = [patient.state]
    patient.failed()
    states.append(patient.state)
    clock.now = 1.0
    patient.allows()
    states.append(patient.state)
    patient.failed()
    states.append(patient.state)
    assert states == ["closed", "open", "half_open", "open"]


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


def test_a_loop_that_is_busy_with_others_is_seen_though_no_timer_is_late() -> None:
    async def scenario() -> float:
        lag = LoopLag()
        with lag.watch() as lag_s:
            until = time.thread_time() + 0.05
            while time.thread_time() < until:
                await asyncio.sleep(0)
            return lag_s()

    assert asyncio.run(scenario()) >= 0.05


def test_a_stall_of_before_is_not_counted() -> None:
    async def scenario() -> float:
        lag = LoopLag()
        with lag.watch():
            time.sleep(0.08)
            with lag.watch() as lag_s:
                await asyncio.sleep(0.02)
                return lag_s()

    assert asyncio.run(scenario()) < 0.02
