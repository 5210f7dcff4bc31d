"""Where answers are kept: Redis, or a bounded cache in this process, behind one interface.

Both store bytes under a key that already names the model, the index version and every field of the request.
A cache can only make answers faster: no failure of it reaches a request.
"""

import logging
import time
import zlib
from collections.abc import Callable
from threading import Lock
from typing import Protocol

from cachetools import TTLCache
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from model.errors import ConfigError
from service.settings import Settings

log = logging.getLogger(__name__)

NAMESPACE = "aahr:search:"
TIMEOUT_S = 0.05
PAUSE_S = 3.0
_CONNECTIONS = 64
_CHECKSUM_BYTES = 4
# What an entry of the in-process cache costs beside its value: key, list node, timestamps.
_ENTRY_BYTES = 400


class Cache(Protocol):
    """Bytes by key, forgotten after a time; `name` says which kind it is."""

    @property
    def name(self) -> str: ...

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes) -> None: ...

    async def close(self) -> None: ...


class MemoryCache:
    """The least recently used entries leave first; thread-safe; bounded by bytes."""

    name = "memory"

    def __init__(self, max_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: TTLCache[str, bytes] = TTLCache(max_bytes, ttl_s, clock, lambda value: len(value) + _ENTRY_BYTES)
        self._lock = Lock()

    @property
    def bytes_held(self) -> int:
        """What the entries and their keeping take."""
        with self._lock:
            return int(self._entries.currsize)

    async def get(self, key: str) -> bytes | None:
        with self._lock:
            return self._entries.get(key)

    async def put(self, key: str, value: bytes) -> None:
        if len(value) + _ENTRY_BYTES > self._entries.maxsize:
            return
        with self._lock:
            self._entries[key] = value

    async def close(self) -> None:
        with self._lock:
            self._entries.clear()


class RedisCache:
    """A Redis that is asked only while it answers: after a failure it is left alone for `pause_s`."""

    name = "redis"

    def __init__(self, url: str, ttl_s: int, *, timeout_s: float = TIMEOUT_S, pause_s: float = PAUSE_S) -> None:
        """Raises ConfigError for a URL that no client can be made from; connects to nothing yet."""
        self._ttl_s = ttl_s
        self._pause_s = pause_s
        self._paused_until = self._quiet_until = float("-inf")
        self._redis = _connect_lazily(url, timeout_s)

    async def get(self, key: str) -> bytes | None:
        if self._is_paused():
            return None
        try:
            return _open(await self._redis.get(NAMESPACE + key))
        except (RedisError, OSError) as error:
            self._note(error)
            return None

    async def put(self, key: str, value: bytes) -> None:
        if self._is_paused():
            return
        try:
            await self._redis.set(NAMESPACE + key, _seal(value), ex=self._ttl_s)
        except (RedisError, OSError) as error:
            self._note(error)

    async def close(self) -> None:
        await self._redis.aclose()

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _note(self, error: Exception) -> None:
        """A Redis that answers with an error, such as out of memory, is asked again; any other one is left alone."""
        now = time.monotonic()
        if now >= self._quiet_until:
            log.warning("no help from Redis, results are computed without it: %s", error)
        self._quiet_until = now + self._pause_s
        if not isinstance(error, ResponseError):
            self._paused_until = now + self._pause_s


def _connect_lazily(url: str, timeout_s: float) -> Redis:
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        # Made and thrown away: an option that the client does not know is found here and not in the first request.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        # Neither the URL nor the parser's complaint: both may hold the password.
        remedy = "write it as redis://host:port/db, and a / in a password as %2F"
        raise ConfigError(f"REDIS_URL cannot be used; {remedy}") from error
    return Redis.from_pool(pool)


def _seal(value: bytes) -> bytes:
    return zlib.crc32(value).to_bytes(_CHECKSUM_BYTES) + value


def _open(stored: object) -> bytes | None:
    """The value, or None where something else stands under the key: Redis is shared and may hold anything."""
    if not isinstance(stored, bytes) or len(stored) < _CHECKSUM_BYTES:
        return None
    checksum, value = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    return value if zlib.crc32(value).to_bytes(_CHECKSUM_BYTES) == checksum else None


def make_cache(settings: Settings) -> Cache:
    """Redis where REDIS_URL is set, else the in-process cache. Raises ConfigError for a bad REDIS_URL."""
    if settings.redis_url is None:
        return MemoryCache(settings.cache_bytes, settings.cache_ttl_s)
    return RedisCache(settings.redis_url.get_secret_value(), settings.cache_ttl_s)


async def warn_if_unreachable(cache: Cache) -> None:
    """One read at start, so that a Redis that is not there is in the log before the first request."""
    await cache.get("at-start")
