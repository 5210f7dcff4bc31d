"""Where answers are cached: Redis, or a bounded cache in this process, behind one interface.

Both store bytes under a key that covers the model, the contents of the index and every field of the request.
A cache only makes answers faster: its failures never reach a request.
"""

from typing import Protocol

from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.cache.tiered import TieredCache
from service.obs.observers import CacheObserver
from service.settings import Settings


class Cache(Protocol):
    """Bytes by key, which expire; `name` says which kind of cache it is."""

    @property
    def name(self) -> str: ...

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes) -> None: ...

    async def close(self) -> None: ...


def make_cache(settings: Settings, observer: CacheObserver | None = None) -> Cache:
    """The in-process cache, and Redis behind it where REDIS_URL is set. Raises ConfigError for a bad REDIS_URL."""
    memory = MemoryCache(settings.cache_bytes, settings.cache_ttl_s)
    if settings.redis_url is None:
        return memory
    redis = RedisCache(settings.redis_url.get_secret_value(), settings.cache_ttl_s, observer=observer)
    return TieredCache(memory, redis) if settings.cache_bytes else redis


async def warn_if_unreachable(cache: Cache) -> None:
    """One read at start, so that an unreachable Redis is logged before the first request."""
    await cache.get("at-start")
