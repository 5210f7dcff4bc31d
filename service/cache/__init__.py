"""Where answers are kept: Redis, or a bounded cache in this process, behind one interface.

Both store bytes under a key that already names the model, the index version and every field of the request.
A cache can only make answers faster: no failure of it reaches a request.
"""

from typing import Protocol

from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.settings import Settings


class Cache(Protocol):
    """Bytes by key, forgotten after a time; `name` says which kind it is."""

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
    """One read at start, so that a Redis that is not there is in the log before the first request."""
    await cache.get("at-start")
