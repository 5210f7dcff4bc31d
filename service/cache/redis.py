"""The cache that several replicas share: a Redis that may be slow, gone, or full of other things."""

import logging
import time
import zlib

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from model.errors import ConfigError

log = logging.getLogger(__name__)

NAMESPACE = "aahr:search:"
TIMEOUT_S = 0.05
PAUSE_S = 3.0
_CONNECTIONS = 64
_CHECKSUM_BYTES = 4


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
            return _strip_checksum(await self._redis.get(NAMESPACE + key))
        except (RedisError, OSError) as error:
            self._note(error)
            return None

    async def put(self, key: str, value: bytes) -> None:
        if self._is_paused():
            return
        try:
            await self._redis.set(NAMESPACE + key, _add_checksum(value), ex=self._ttl_s)
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


def _add_checksum(value: bytes) -> bytes:
    return zlib.crc32(value).to_bytes(_CHECKSUM_BYTES) + value


def _strip_checksum(stored: object) -> bytes | None:
    """The value, or None where something else stands under the key: Redis is shared and may hold anything."""
    if not isinstance(stored, bytes) or len(stored) < _CHECKSUM_BYTES:
        return None
    checksum, value = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    return value if zlib.crc32(value).to_bytes(_CHECKSUM_BYTES) == checksum else None
