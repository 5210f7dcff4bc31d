"""Where a request spends its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from service.obs.observers import Stage


class Interval(NamedTuple):
    """One stretch of time that was spent on a stage; `started` is a reading of `time.perf_counter`, in seconds."""

    stage: Stage
    started: float
    seconds: float


class Stopwatch:
    """Starts when constructed; measures stages, which several threads may report one after the other."""

    __slots__ = ("intervals", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.intervals: list[Interval] = []

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the duration of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.intervals.append(Interval(stage, started, time.perf_counter() - started))

    def add(self, stage: Stage, seconds: float) -> None:
        """Add seconds that end now to a stage."""
        self.intervals.append(Interval(stage, time.perf_counter() - seconds, seconds))

    def stages_s(self) -> dict[Stage, float]:
        """Seconds by stage, in the order in which the stages were first reported."""
        totals: dict[Stage, float] = {}
        for stage, _, seconds in self.intervals:
            totals[stage] = totals.get(stage, 0.0) + seconds
        return totals

    @property
    def total_s(self) -> float:
        """Seconds since construction."""
        return time.perf_counter() - self.started

    @property
    def total_ms(self) -> float:
        """Milliseconds since construction, to the microsecond."""
        return round(self.total_s * 1000, 3)

    def header(self) -> str:
        """The value of a `Server-Timing` header, in milliseconds."""
        parts = [f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in self.stages_s().items()]
        return ", ".join([*parts, f"total;dur={self.total_ms:.3f}"])
