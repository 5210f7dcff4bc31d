"""Both caches behave alike; the faults of Redis are tested with a real server in tests/integration/test_redis.py."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model.errors import ConfigError
from service.cache import MemoryCache, RedisCache, make_cache
from service.settings import Settings


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


@pytest.mark.parametrize(
    "url",
    ["localhost:6379", "http://localhost", "redis://localhost:port", "redis://localhost:70000"],
)
def test_bad_redis_url_is_a_config_error_that_hides_passwords(url: str) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL cannot be used") as caught:
        RedisCache(url.replace("//", "//user:a/secret@"), 60)
    assert "secret" not in str(caught.value)


def test_unknown_option_of_redis_is_found_before_the_first_request() -> None:
    with pytest.raises(ConfigError, match="REDIS_URL cannot be used"):
        RedisCache("redis://localhost?colour=red", 60)


def test_unreachable_redis_is_asked_once_and_costs_no_time(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> float:
        cache = RedisCache("redis://127.0.0.1:1/0", 60)
        assert await cache.get("key") is None
        started = time.perf_counter()
        for _ in range(100):
            await cache.put("key", b"value")
            assert await cache.get("key") is None
        await cache.close()
        return time.perf_counter() - started

    assert asyncio.run(scenario()) < 0.05
    assert len(caplog.records) == 1


def test_make_cache_chooses_by_redis_url() -> None:
    memory = Settings(index_dir=Path("index"))
    redis = Settings(index_dir=Path("index"), redis_url="redis://127.0.0.1:1/0")
    assert (make_cache(memory).name, make_cache(redis).name) == ("memory", "redis")
