"""A Redis that cannot be used; the faults of a real server are tested in tests/integration/test_redis.py."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from model.errors import ConfigError
from service.cache.redis import RedisCache
from tests.unit.service.cache.fake_redis import fake_redis


@asynccontextmanager
async def opened(url: str, ttl_s: int, *, timeout_s: float = 0.05, connections: int = 64) -> AsyncIterator[RedisCache]:
    """A cache that is closed at the end."""
    cache = RedisCache(url, ttl_s, timeout_s=timeout_s, connections=connections)
    try:
        yield cache
    finally:
        await cache.close()


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


def test_a_redis_that_hangs_is_left_alone() -> None:
    async def scenario() -> tuple[int, float]:
        async with fake_redis() as (fake, url), opened(url, 60) as cache:
            await cache.put("key", b"value")
            fake.delay_s = 10
            assert await cache.get("key") is None
            started = time.perf_counter()
            for _ in range(20):
                assert await cache.get("key") is None
            return fake.asked, time.perf_counter() - started

    asked, took = asyncio.run(scenario())
    assert (asked, took < 0.05) == (2, True)


def test_a_stall_of_our_own_is_no_fault_of_redis() -> None:
    async def scenario() -> bytes | None:
        async with fake_redis() as (fake, url), opened(url, 60) as cache:
            await cache.put("key", b"value")
            fake.delay_s = 10
            waiting = asyncio.create_task(cache.get("key"))
            await asyncio.sleep(0.01)
            time.sleep(0.08)
            assert await waiting is None
            fake.delay_s = 0
            return await cache.get("key")

    assert asyncio.run(scenario()) == b"value"


def test_busy_connections_are_a_miss_and_no_fault_of_redis() -> None:
    async def scenario() -> list[bytes | None]:
        async with fake_redis() as (fake, url), opened(url, 60, timeout_s=0.2, connections=1) as cache:
            await cache.put("key", b"value")
            fake.delay_s = 0.12
            crowd = await asyncio.gather(*(cache.get("key") for _ in range(10)))
            return [*crowd, await cache.get("key")]

    *crowd, afterwards = asyncio.run(scenario())
    assert (crowd.count(None), crowd.count(b"value"), afterwards) == (8, 2, b"value")
