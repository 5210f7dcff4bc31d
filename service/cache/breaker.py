"""A circuit breaker: when to leave a failing store alone, and when to ask it again."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.obs.observers import BreakerState

_TICK_S = 0.01


class Breaker:
    """After a failure the store is not asked for `pause_s`; then one caller tries, and its success closes the breaker.

    A time-out counts against the store only if this process was free to read the answer: if the event loop itself was
    late by `max_lag_s` or more, the time-out is ignored, unless nothing at all has succeeded for `pause_s` since.
    """

    def __init__(
        self, pause_s: float, max_lag_s: float, *, trial_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A trial that neither succeeds nor fails within `trial_s`, such as a cancelled one, is forgotten."""
        self._pause_s = pause_s
        self._max_lag_s = max_lag_s
        self._trial_s = trial_s
        self._clock = clock
        self._open_until: float | None = None
        self._ignored_since: float | None = None

    def allows(self) -> bool:
        """Whether the caller may ask now; if so, it must report the outcome afterwards."""
        if self._open_until is None:
            return True
        now = self._clock()
        if now < self._open_until:
            return False
        self._open_until = now + self._trial_s
        return True

    @property
    def state(self) -> BreakerState:
        """Whether the store is asked, left alone, or about to be tried."""
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "half_open"

    def succeeded(self) -> None:
        """The store has answered, even if with an error."""
        self._open_until = self._ignored_since = None

    def failed(self) -> None:
        """The store could not be reached."""
        self._open_until = self._clock() + self._pause_s

    def timed_out(self, lag_s: float) -> None:
        """No answer came in time; meanwhile the event loop was late by `lag_s` seconds in total."""
        now = self._clock()
        if self._ignored_since is None:
            self._ignored_since = now
        if lag_s < self._max_lag_s or now - self._ignored_since >= self._pause_s:
            self.failed()


class LoopLag:
    """How late the event loop runs, measured while it is watched by the lateness of a timer every 10 ms."""

    def __init__(self) -> None:
        self._watching = 0
        self._late_s = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def watch(self) -> Iterator[Callable[[], float]]:
        """Yields a function that returns how many seconds the loop has been late since the block was entered."""
        loop = asyncio.get_running_loop()
        if not self._watching:
            self._schedule(loop)
        self._watching += 1
        before = self._total(loop)
        try:
            yield lambda: self._total(loop) - before
        finally:
            self._watching -= 1
            if not self._watching and self._timer is not None:
                self._timer.cancel()

    def _total(self, loop: asyncio.AbstractEventLoop) -> float:
        """Includes the lateness of a timer that is due but has not run yet."""
        return self._late_s + max(0.0, loop.time() - self._due)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + _TICK_S
        self._timer = loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._late_s = self._total(loop)
        self._schedule(loop)
