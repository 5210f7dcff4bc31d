"""Where a request spends its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Starts when constructed; measures named parts, which several threads may report one after the other."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._parts_s: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the duration of the block to a part."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(part, time.perf_counter() - started)

    def add(self, part: str, seconds: float) -> None:
        """Add seconds to a part."""
        self._parts_s[part] = self._parts_s.get(part, 0.0) + seconds

    @property
    def total_ms(self) -> float:
        """Milliseconds since construction, to the microsecond."""
        return round((time.perf_counter() - self._started) * 1000, 3)

    def header(self) -> str:
        """The value of a `Server-Timing` header, in milliseconds."""
        parts = [f"{part};dur={seconds * 1000:.3f}" for part, seconds in self._parts_s.items()]
        return ", ".join([*parts, f"total;dur={self.total_ms:.3f}"])
