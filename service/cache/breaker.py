"""A circuit breaker: when to leave a failing store alone, and when to ask it again."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.obs.observers import BreakerState

_TICK_S = 0.01
# So many slow answers one after another are a slow store; fewer are a busy moment of the machine.
SLOW_IN_A_ROW = 10


class Breaker:
    """After a failure the store is not asked for `pause_s`; then one caller tries, and its success closes the breaker.

    A store that fails again and again is left alone twice as long each time, up to `max_pause_s`; that long without
    a failure starts it anew. A time-out counts against the store only if this process was free to read the answer: if
    the event loop itself was busy for `max_lag_s` or more, the time-out is ignored, unless nothing at all has succeeded
    for `max_pause_s` since. Answers that take longer than `slow_s` do not close the breaker, and SLOW_IN_A_ROW of them
    open it.
    """

    def __init__(
        self,
        pause_s: float,
        max_lag_s: float,
        *,
        trial_s: float,
        max_pause_s: float | None = None,
        slow_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A trial that neither succeeds nor fails within `trial_s`, such as a cancelled one, is forgotten."""
        self._first_pause_s = self._pause_s = pause_s
        self._max_pause_s = pause_s if max_pause_s is None else max_pause_s
        self._max_lag_s = max_lag_s
        self._trial_s = trial_s
        self._slow_s = slow_s
        self._clock = clock
        self._open_until: float | None = None
        self._trying = False
        self._failed_at = -math.inf
        self._ignored_since: float | None = None
        self._slow = 0

    @property
    def closed(self) -> bool:
        """Whether everybody may ask."""
        return self._open_until is None

    def allows(self) -> bool:
        """Whether the caller may ask now; if so, it must report the outcome afterwards."""
        if self._open_until is None:
            return True
        now = self._clock()
        if now < self._open_until:
            return False
        self._open_until = now + self._trial_s
        self._trying = True
        return True

    @property
    def state(self) -> BreakerState:
        """Whether the store is asked, left alone, or being tried."""
        if self._open_until is None:
            return "closed"
        return "half_open" if self._trying or self._clock() >= self._open_until else "open"

    def succeeded(self, took_s: float = 0.0) -> None:
        """The store has answered, even if with an error; `took_s` leaves out how long our own loop was busy."""
        if took_s > self._slow_s:
            self._slow += 1
            if self._slow >= SLOW_IN_A_ROW:
                self.failed()
            return
        self._open_until = self._ignored_since = None
        self._trying = False
        self._slow = 0

    def failed(self) -> None:
        """The store could not be reached, or is of no use."""
        now = self._clock()
        # Callers that asked before it opened report the same failure again.
        if self._open_until is None or self._trying:
            again = now - self._failed_at <= self._max_pause_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, self._max_pause_s) if again else self._first_pause_s
        self._failed_at = now
        self._open_until = now + self._pause_s
        self._trying = False
        self._slow = 0

    def timed_out(self, lag_s: float) -> None:
        """No answer came in time; meanwhile the event loop was busy for `lag_s` seconds in total."""
        now = self._clock()
        if self._ignored_since is None:
            self._ignored_since = now
        if lag_s < self._max_lag_s or now - self._ignored_since >= self._max_pause_s:
            self.failed()


class LoopLag:
    """How long the event loop keeps its callers waiting, as seen while it is watched.

    That is the time for which it runs callbacks of others, and how late it runs them: by the lateness of a timer every
    10 ms. An answer may have come long before a busy loop gets to read it.
    """

    def __init__(self) -> None:
        self._watching = 0
        self._late_s = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def watch(self) -> Iterator[Callable[[], float]]:
        """Yields a function: for how many seconds the loop has been busy or late since the block was entered."""
        if not self._watching:
            self._schedule()
        self._watching += 1
        before = self._total() + time.thread_time()
        try:
            yield lambda: self._total() + time.thread_time() - before
        finally:
            self._watching -= 1
            if not self._watching and self._timer is not None:
                self._timer.cancel()

    def _total(self) -> float:
        """Includes the lateness of a timer that is due but has not run yet."""
        return self._late_s + max(0.0, time.monotonic() - self._due)

    def _schedule(self) -> None:
        # Not the clock of the loop: uvloop's stands still while a callback runs.
        self._due = time.monotonic() + _TICK_S
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        self._late_s = self._total()
        self._schedule()
