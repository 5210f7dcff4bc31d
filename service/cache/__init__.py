"""Where answers are cached: Redis, or a bounded cache in this process, behind one interface.

Both store bytes under a key that covers the model, the contents of the index and every field of the request.
A cache only makes answers faster: its failures never reach a request.
"""

from typing import Protocol

from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.settings import Settings


class Cache(Protocol):
    """Bytes by key, which expire; `name` says which kind of cache it is."""

    @property
    def name(self) -> str: ...

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes) -> None: ...

    async def close(self) -> None: ...


def make_cache(settings: Settings) -> Cache:
    """Redis where REDIS_URL is set, else the in-process cache. Raises ConfigError for a bad REDIS_URL."""
    if settings.redis_url is None:
        return MemoryCache(settings.cache_bytes, settings.cache_ttl_s)
    return RedisCache(settings.redis_url.get_secret_value(), settings.cache_ttl_s)


async def warn_if_unreachable(cache: Cache) -> None:
    """One read at start, so that an unreachable Redis is logged before the first request."""
    await cache.get("at-start")
