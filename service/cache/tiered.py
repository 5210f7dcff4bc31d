"""The cache of this process in front of the one that replicas share."""

from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache


class TieredCache:
    """What was found or put lately is found without asking Redis. Keys name contents: no entry is ever out of date."""

    name = "redis"

    def __init__(self, memory: MemoryCache, redis: RedisCache) -> None:
        self._memory = memory
        self._redis = redis

    async def get(self, key: str) -> bytes | None:
        found = await self._memory.get(key)
        if found is None and (found := await self._redis.get(key)) is not None:
            await self._memory.put(key, found)
        return found

    async def put(self, key: str, value: bytes) -> None:
        await self._memory.put(key, value)
        await self._redis.put(key, value)

    async def close(self) -> None:
        await self._memory.close()
        await self._redis.close()
