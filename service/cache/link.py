"""The connection to a Redis that may be away, slow, or out of its mind: its faults are logged, never raised."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from model.errors import ConfigError
from service.cache.breaker import Breaker, LoopLag
from service.obs.observers import BreakerState, CacheObserver

log = logging.getLogger(__name__)

# Redis answers in well under a millisecond. One that needs longer than `SLOW_S` saves less than it costs.
TIMEOUT_S = 0.05
SLOW_S = 0.01
PAUSE_S = 0.25
MAX_PAUSE_S = 2.0
# A trial may take its time to look up the host and to connect, as nobody waits for it.
TRIAL_S = 1.0
_TRIES = 3
_QUIET_S = 10.0

Command = Callable[[Redis], Awaitable[object]]


class RedisLink:
    """Asks Redis while it answers quickly; else it is tried again in the background, and no caller waits for that."""

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        timeout_s: float = TIMEOUT_S,
        slow_s: float = SLOW_S,
        pause_s: float = PAUSE_S,
        observer: CacheObserver | None = None,
    ) -> None:
        """Raises ConfigError for an unusable URL; does not connect yet. At most `connections` callers ask at once."""
        self._timeout_s = timeout_s
        self._connections = connections
        self._breaker = Breaker(
            pause_s,
            max_lag_s=timeout_s / 2,
            trial_s=3 * TRIAL_S,
            max_pause_s=max(pause_s, MAX_PAUSE_S),
            slow_s=slow_s,
        )
        self._lag = LoopLag()
        self._redis = _connect_lazily(url, connections)
        self._observer = observer
        self._reported: BreakerState | None = None
        self._quiet_until = float("-inf")
        self._trial: asyncio.Task[None] | None = None

    @property
    def in_use(self) -> bool:
        """Whether Redis is asked at present."""
        return self._breaker.closed

    async def ask(self, command: Command) -> object:
        """The answer of Redis; None if it is not asked, does not answer in time, or answers with an error."""
        if self._breaker.closed:
            return await self._answer(command, self._timeout_s)
        if self._breaker.allows():
            self._trial = asyncio.ensure_future(self._try())
        return None

    async def close(self) -> None:
        """Nothing may be asked any more."""
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)
        await self._redis.aclose()

    async def _try(self) -> None:
        """Open every connection, however long that takes, and see whether a command is answered quickly then."""
        self._report()
        try:
            async with asyncio.timeout(TRIAL_S):
                await asyncio.gather(*(self._redis.ping() for _ in range(self._connections)))
        except Exception as error:
            self._failed(error)
            return
        for _ in range(_TRIES):
            await self._answer(lambda redis: redis.ping(), self._timeout_s)
            if self._breaker.closed:
                log.info("Redis is used")
                return
        self._failed("it is slow")

    async def _answer(self, command: Command, timeout_s: float) -> object:
        with self._lag.watch() as lag_s:
            started = time.monotonic()
            try:
                async with asyncio.timeout(timeout_s):
                    answer = await command(self._redis)
            except (RedisTimeoutError, TimeoutError):
                self._breaker.timed_out(lag_s())
                self._warn(f"no answer within {timeout_s * 1000:g} ms")
            except ResponseError as error:
                # Such as out of memory: Redis is there, and can be asked again.
                self._breaker.succeeded(time.monotonic() - started - lag_s())
                self._warn(error)
            except Exception as error:  # Rubbish in place of an answer makes the parser raise nearly anything.
                self._failed(error)
            else:
                self._answered(time.monotonic() - started - lag_s())
                return answer
        self._report()
        return None

    def _answered(self, took_s: float) -> None:
        self._breaker.succeeded(took_s)
        if not self._breaker.closed:
            self._warn(f"it needs {took_s * 1000:.0f} ms for an answer")
        self._report()

    def _failed(self, reason: object) -> None:
        self._breaker.failed()
        self._warn(reason)
        self._report()

    def _report(self) -> None:
        if self._observer is not None and self._reported != (state := self._breaker.state):
            self._observer.set_breaker(state)
            self._reported = state

    def _warn(self, reason: object) -> None:
        """Once per series of errors."""
        if self._observer is not None:
            self._observer.count_cache("results", "error")
        now = time.monotonic()
        if now >= self._quiet_until:
            log.warning("Redis is not available, results are computed without the cache: %s", reason)
        self._quiet_until = now + _QUIET_S


def _connect_lazily(url: str, connections: int) -> Redis:
    try:
        pool = ConnectionPool.from_url(
            url,
            # Those who asked before a failure may still hold theirs when a trial begins.
            max_connections=2 * connections,
            socket_timeout=TRIAL_S,
            socket_connect_timeout=TRIAL_S,
            # Needs no greeting, and so one round trip less to connect.
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        # Made and discarded: an unknown option is found here, not in the first request.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        # Neither the URL nor the parser's message is shown: both may contain the password.
        remedy = "write it as redis://host:port/db, with any / in the password as %2F"
        raise ConfigError(f"REDIS_URL cannot be used; {remedy}") from error
    return Redis.from_pool(pool)
