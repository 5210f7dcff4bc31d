"""Where a request spends its time."""

import time
from types import TracebackType

from service.obs.observers import Stage

# A stage, when it began as a reading of `time.perf_counter`, and how long it took, both in seconds. A bare tuple:
# half a dozen of them are made for every request.
Interval = tuple[Stage, float, float]


class Stopwatch:
    """Starts when constructed; measures stages, which several threads may report one after the other."""

    __slots__ = ("intervals", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.intervals: list[Interval] = []

    def measure(self, stage: Stage) -> "Measurement":
        """Add the duration of the `with` block to a stage."""
        return Measurement(self.intervals, stage)

    def add(self, stage: Stage, seconds: float) -> None:
        """Add seconds that end now to a stage."""
        self.intervals.append((stage, time.perf_counter() - seconds, seconds))

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


class Measurement:
    """The context manager of `Stopwatch.measure`; a class, because a generator costs three times as much."""

    __slots__ = ("_intervals", "_stage", "_started")

    def __init__(self, intervals: list[Interval], stage: Stage) -> None:
        self._intervals = intervals
        self._stage = stage

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._intervals.append((self._stage, self._started, time.perf_counter() - self._started))
