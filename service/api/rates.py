"""How many requests a client may send: counted in Redis where replicas share one, else in this process.

The window slides: of the window before, the part counts that still lies within the last minute (or whatever the
period is). It needs two numbers a client, however many requests there are.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.api.errors import RateLimited
from service.cache.breaker import Breaker

log = logging.getLogger(__name__)

NAMESPACE = "aahr:rate"
TIMEOUT_S = 0.05
PAUSE_S = 3.0
CONNECTIONS = 32
MAX_CLIENTS = 100_000


class Window(NamedTuple):
    """Requests of one client in the current period, which has a number, and in the one before."""

    number: int
    before: int
    now: int


class RecentWindows(MemoryStorage):
    """The counts of the clients that came last, at most `max_clients` of them.

    The library's own storage looks through the counts of all clients with every request; this one costs the same
    however many there are, and forgets the client that has been away longest.
    """

    STORAGE_SCHEME = ("async+recent",)  # type: ignore[assignment]

    def __init__(self, max_clients: int = MAX_CLIENTS, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._windows: OrderedDict[str, Window] = OrderedDict()
        self._max_clients = max_clients
        self._clock = clock

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` requests, unless that would exceed the limit."""
        number, past = divmod(self._clock(), expiry)
        window = self._window(key, int(number))
        if math.floor(window.before * (1 - past / expiry)) + window.now + amount > limit:
            return False
        self._windows[key] = window._replace(now=window.now + amount)
        self._windows.move_to_end(key)
        if len(self._windows) > self._max_clients:
            self._windows.popitem(last=False)
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The counts of both windows, and the seconds until each of them no longer counts."""
        number, past = divmod(self._clock(), expiry)
        window = self._window(key, int(number))
        return window.before, expiry - past, window.now, 2 * expiry - past

    def _window(self, key: str, number: int) -> Window:
        last = self._windows.get(key)
        if last is None or last.number < number - 1:
            return Window(number, 0, 0)
        return last if last.number >= number else Window(number, last.now, 0)


class RateLimit:
    """Counts every request of a client against all limits, in Redis while it answers."""

    def __init__(
        self,
        limits: Sequence[RateLimitItem],
        redis_url: str | None = None,
        *,
        clock: Callable[[], float] = time.time,
        timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._limits = tuple(limits)
        self._clock = clock
        self._timeout_s = timeout_s
        self._local = SlidingWindowCounterRateLimiter(RecentWindows(clock=clock))
        self._breaker = Breaker(pause_s, max_lag_s=timeout_s, trial_s=4 * timeout_s)
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._pool = None if redis_url is None else _connection_pool(redis_url, timeout_s)
        self._shared = None if self._pool is None else SlidingWindowCounterRateLimiter(_redis_storage(self._pool))

    async def count(self, client: str) -> None:
        """Raises RateLimited where the client has sent as many requests as it may."""
        for limit in self._limits:
            counter = self._local
            accepted = await self._count_in_redis(limit, client)
            if accepted is None:
                accepted = await counter.hit(limit, client)
            elif self._shared is not None:
                counter = self._shared
            if not accepted:
                raise await self._refusal(limit, client, counter)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

    async def _count_in_redis(self, limit: RateLimitItem, client: str) -> bool | None:
        """None where Redis is not asked, or does not answer in time."""
        if self._shared is None or self._free.locked() or not self._breaker.allows():
            return None
        async with self._free:
            try:
                async with asyncio.timeout(self._timeout_s):
                    accepted = await self._shared.hit(limit, client)
            except (RedisError, OSError, TimeoutError) as error:
                self._breaker.failed()
                log.warning("Redis is not available, each process counts the requests of clients itself: %s", error)
                return None
        self._breaker.succeeded()
        return accepted

    async def _refusal(
        self, limit: RateLimitItem, client: str, counter: SlidingWindowCounterRateLimiter
    ) -> RateLimited:
        now = self._clock()
        try:
            async with asyncio.timeout(self._timeout_s):
                reset, remaining = await counter.get_window_stats(limit, client)
        except (RedisError, OSError, TimeoutError):
            reset, remaining = now + limit.get_expiry(), 0
        wait_s = max(1, math.ceil(reset - now))
        headers = {
            "Retry-After": str(wait_s),
            "X-RateLimit-Limit": str(limit.amount),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(wait_s),
        }
        return RateLimited(f"more than {limit}; try again in {wait_s} s", headers)


def parse_rates(text: str) -> tuple[RateLimitItem, ...]:
    """Limits such as 100/second, or 6000/minute;100000/day. Raises ValueError."""
    return tuple(parse_many(text))


def _connection_pool(url: str, timeout_s: float) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS + 1,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


def _redis_storage(pool: ConnectionPool) -> RedisStorage:
    # The address in the pool counts, not this one, which the library wants to see.
    options = {"implementation": "redispy", "key_prefix": NAMESPACE, "connection_pool": pool}
    return RedisStorage("async+redis://", **options)  # type: ignore[arg-type]
