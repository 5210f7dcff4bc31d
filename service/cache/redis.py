"""The cache that replicas share: a Redis that may be slow, unreachable, or hold foreign data."""

import asyncio
import logging
import random
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from model.errors import ConfigError
from service.cache.breaker import Breaker, LoopLag
from service.obs.observers import CacheObserver

log = logging.getLogger(__name__)

NAMESPACE = "aahr:"
TIMEOUT_S = 0.05
PAUSE_S = 3.0
CONNECTIONS = 64
# Answers that were cached together must not all expire together.
JITTER = 0.1
_CHECKSUM_BYTES = 4


class RedisCache:
    """A Redis that is asked only while it answers; waiting too long for a free connection is a miss."""

    name = "redis"

    def __init__(
        self,
        url: str,
        ttl_s: int,
        *,
        timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
        connections: int = CONNECTIONS,
        observer: CacheObserver | None = None,
    ) -> None:
        """Raises ConfigError for an unusable URL; does not connect yet."""
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._quiet_until = float("-inf")
        # Redis answers in well under a millisecond: the half of the time-out that remains is plenty.
        self._breaker = Breaker(pause_s, max_lag_s=timeout_s / 2, trial_s=4 * timeout_s)
        self._lag = LoopLag()
        # Not the pool of the client, which raises the same error for "all busy" as for "nobody listens".
        self._free = asyncio.Semaphore(connections)
        self._redis = _connect_lazily(url, timeout_s, connections)
        self._observer = observer
        self._wanted: dict[str, list[asyncio.Future[bytes | None]]] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> bytes | None:
        """Keys that are asked for in one turn of the event loop are one command: most of its cost is per command."""
        if not self._wanted:
            reading = asyncio.ensure_future(self._read())
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(key, []).append(answer)
        return await answer

    async def put(self, key: str, value: bytes) -> None:
        ttl_ms = int(1000 * self._ttl_s * random.uniform(1 - JITTER, 1 + JITTER))
        await self._ask(partial(self._redis.set, NAMESPACE + key, _add_checksum(value), px=ttl_ms))

    async def close(self) -> None:
        await asyncio.gather(*self._reading)
        await self._redis.aclose()

    async def _read(self) -> None:
        """Answer all that is wanted by now."""
        wanted, self._wanted = self._wanted, {}
        values: Sequence[object] = ()
        try:
            found = await self._ask(partial(self._redis.mget, [NAMESPACE + key for key in wanted]))
            values = found if isinstance(found, list) else ()
        finally:
            for place, answers in enumerate(wanted.values()):
                value = _strip_checksum(values[place]) if place < len(values) else None
                for answer in answers:
                    if not answer.done():
                        answer.set_result(value)

    async def _ask(self, command: Callable[[], Awaitable[object]]) -> object:
        """The answer of Redis; None if it is not asked, does not answer, or answers with an error."""
        if not self._breaker.allows() or not await self._take_connection():
            return None
        try:
            with self._lag.watch() as lag_s:
                return await self._answer(command, lag_s)
        finally:
            self._free.release()
            if self._observer is not None:
                self._observer.set_breaker(self._breaker.state)

    async def _answer(self, command: Callable[[], Awaitable[object]], lag_s: Callable[[], float]) -> object:
        try:
            answer = await command()
        except (RedisTimeoutError, TimeoutError) as error:
            self._breaker.timed_out(lag_s())
            self._warn(error)
        except ResponseError as error:
            # Such as out of memory: Redis is there, and can be asked again.
            self._breaker.succeeded()
            self._warn(error)
        except Exception as error:  # Rubbish in place of an answer makes the parser raise nearly anything.
            self._breaker.failed()
            self._warn(error)
        else:
            self._breaker.succeeded()
            return answer
        return None

    async def _take_connection(self) -> bool:
        """Take a free connection; False if none became free in time."""
        if not self._free.locked():
            return await self._free.acquire()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._free.acquire()
        except TimeoutError:
            return False

    def _warn(self, error: Exception) -> None:
        """Once per series of errors."""
        if self._observer is not None:
            self._observer.count_cache("results", "error")
        now = time.monotonic()
        if now >= self._quiet_until:
            log.warning("Redis is not available, results are computed without the cache: %s", error)
        self._quiet_until = now + self._pause_s


def _connect_lazily(url: str, timeout_s: float, connections: int) -> Redis:
    try:
        pool = ConnectionPool.from_url(
            url,
            max_connections=connections,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        # Made and discarded: an unknown option is found here, not in the first request.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        # Neither the URL nor the parser's message is shown: both may contain the password.
        remedy = "write it as redis://host:port/db, with any / in the password as %2F"
        raise ConfigError(f"REDIS_URL cannot be used; {remedy}") from error
    return Redis.from_pool(pool)


def _add_checksum(value: bytes) -> bytes:
    return zlib.crc32(value).to_bytes(_CHECKSUM_BYTES) + value


def _strip_checksum(stored: object) -> bytes | None:
    """The value, or None if something else is stored under the key: Redis is shared and may hold anything."""
    if not isinstance(stored, bytes) or len(stored) < _CHECKSUM_BYTES:
        return None
    checksum, value = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    return value if zlib.crc32(value).to_bytes(_CHECKSUM_BYTES) == checksum else None
