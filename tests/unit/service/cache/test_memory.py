"""The cache in this process: bounded by bytes and by time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.cache.memory import MemoryCache


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_memory_cache_gives_back_what_was_put_until_the_time_is_over() -> None:
    async def scenario() -> None:
        clock = Clock()
        cache = MemoryCache(10_000, 60, clock)
        await cache.put("key", b"value")
        assert await cache.get("key") == b"value"
        assert await cache.get("other") is None
        clock.now = 61
        assert await cache.get("key") is None

    asyncio.run(scenario())


def test_memory_cache_drops_the_least_recently_used() -> None:
    async def scenario() -> None:
        cache = MemoryCache(3 * (400 + 100), 60)
        for key in "abc":
            await cache.put(key, bytes(100))
        await cache.get("a")
        await cache.put("d", bytes(100))
        assert [await cache.get(key) is not None for key in "abcd"] == [True, False, True, True]

    asyncio.run(scenario())


@pytest.mark.parametrize("max_bytes", [0, 1000])
def test_memory_cache_does_not_keep_what_is_larger_than_it(max_bytes: int) -> None:
    async def scenario() -> None:
        cache = MemoryCache(max_bytes, 60)
        await cache.put("key", bytes(1001))
        assert await cache.get("key") is None

    asyncio.run(scenario())


def test_memory_cache_holds_its_bound_under_threads() -> None:
    cache = MemoryCache(20_000, 60)

    async def use(seed: int) -> None:
        for step in range(200):
            await cache.put(f"{(seed * step) % 97}", bytes(step))
            stored = await cache.get(f"{step % 97}")
            assert stored is None or not any(stored)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda seed: asyncio.run(use(seed)), range(8)))
    assert cache.bytes_held <= 20_000
