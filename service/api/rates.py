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
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.api.errors import RateLimited
from service.cache.breaker import Breaker

log = logging.getLogger(__name__)

NAMESPACE = "aahr:rate"
TIMEOUT_S = 0.05
PAUSE_S = 3.0
CONNECTIONS = 32
MAX_CLIENTS = 100_000


_Storage = MemoryStorage | RedisStorage


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
        # The shortest first: what it refuses does not count against the longer ones.
        self._limits = tuple(sorted(limits, key=lambda limit: limit.get_expiry()))
        self._timeout_s = timeout_s
        self._local = RecentWindows(clock=clock)
        self._breaker = Breaker(pause_s, max_lag_s=timeout_s, trial_s=4 * timeout_s)
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._pool = None if redis_url is None else _connection_pool(redis_url, timeout_s)
        self._shared = None if self._pool is None else _redis_storage(self._pool)

    async def count(self, client: str) -> None:
        """Raises RateLimited where the client has sent as many requests as it may."""
        for limit in self._limits:
            storage: _Storage = self._local
            accepted = None
            if self._shared is not None:
                accepted, storage = await self._count_in_redis(self._shared, limit, client), self._shared
            if accepted is None:
                accepted, storage = await _hit(self._local, limit, client), self._local
            if not accepted:
                raise await self._refusal(limit, client, storage)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

    async def _count_in_redis(self, storage: RedisStorage, limit: RateLimitItem, client: str) -> bool | None:
        """None where Redis is not asked, or does not answer in time."""
        if self._free.locked() or not self._breaker.allows():
            return None
        async with self._free:
            try:
                async with asyncio.timeout(self._timeout_s):
                    accepted = await _hit(storage, limit, client)
            except Exception as error:  # Rubbish in place of an answer makes the client raise nearly anything.
                self._breaker.failed()
                log.warning("Redis is not available, each process counts the requests of clients itself: %s", error)
                return None
        self._breaker.succeeded()
        return accepted

    async def _refusal(self, limit: RateLimitItem, client: str, storage: _Storage) -> RateLimited:
        try:
            async with asyncio.timeout(self._timeout_s):
                counts = await storage.get_sliding_window(limit.key_for(client), limit.get_expiry())
        except Exception:
            counts = (0, 0.0, limit.amount, 2.0 * limit.get_expiry())
        wait_s = math.floor(seconds_to_wait(limit, *counts)) + 1
        headers = {
            "Retry-After": str(wait_s),
            "X-RateLimit-Limit": str(limit.amount),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(wait_s),
        }
        return RateLimited(f"more requests than {limit}; try again in {wait_s} s", headers)


def seconds_to_wait(limit: RateLimitItem, before: int, before_left_s: float, now: int, now_left_s: float) -> float:
    """How long a client that is refused has to wait, and a moment longer, for its next request to be accepted.

    `before` requests of the last period count less and less during `before_left_s`; the `now` requests of this period
    count in full until it ends, a period before `now_left_s`.
    """
    period = limit.get_expiry()
    free = limit.amount - now
    if free > 0 and before > 0:
        return max(0.0, before_left_s - free * period / before)
    return max(0.0, now_left_s - period)


def parse_rates(text: str) -> tuple[RateLimitItem, ...]:
    """Limits such as 100/second, or 6000/minute;100000/day. Raises ValueError."""
    return tuple(parse_many(text))


async def _hit(storage: _Storage, limit: RateLimitItem, client: str) -> bool:
    return await storage.acquire_sliding_window_entry(limit.key_for(client), limit.amount, limit.get_expiry())


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
