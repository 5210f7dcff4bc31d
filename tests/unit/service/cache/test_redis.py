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
    async def crowd(cache: RedisCache) -> list[bytes | None]:
        """Each in a turn of the loop of its own, and so a command of its own."""
        asked = []
        for _ in range(10):
            asked.append(asyncio.ensure_future(cache.get("key")))
            await asyncio.sleep(0.002)
        return await asyncio.gather(*asked)

    async def scenario() -> list[bytes | None]:
        async with fake_redis() as (fake, url), opened(url, 60, timeout_s=0.2, connections=1) as cache:
            await cache.put("key", b"value")
            fake.delay_s = 0.12
            return [*await crowd(cache), await cache.get("key")]

    *crowd_found, afterwards = asyncio.run(scenario())
    assert (crowd_found.count(None), crowd_found.count(b"value"), afterwards) == (8, 2, b"value")


def test_keys_that_are_asked_for_together_are_one_command() -> None:
    async def scenario() -> tuple[list[bytes | None], int]:
        async with fake_redis() as (fake, url), opened(url, 60) as cache:
            await cache.put("a", b"1")
            await cache.put("b", b"2")
            before = fake.asked
            found = await asyncio.gather(*(cache.get(key) for key in ("b", "none", "a", "b")))
            return found, fake.asked - before

    assert asyncio.run(scenario()) == ([b"2", None, b"1", b"2"], 1)


def test_a_reader_that_gives_up_leaves_the_answer_to_the_others() -> None:
    async def scenario() -> bytes | None:
        async with fake_redis() as (_, url), opened(url, 60) as cache:
            await cache.put("a", b"1")
            first, second = (asyncio.ensure_future(cache.get("a")) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            return await second

    assert asyncio.run(scenario()) == b"1"


@pytest.mark.parametrize(
    "rubbish", [b"rubbish\r\n", b"*1\r\n:7\r\n", b"*99\r\n", b"$9999999999\r\n", b"\x00" * 99, b""]
)
def test_rubbish_in_place_of_an_answer_is_a_miss(rubbish: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(rubbish)
        await reader.read(100)
        writer.close()

    async def scenario() -> bytes | None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, opened(f"redis://127.0.0.1:{port}/0?protocol=2", 60) as cache:
            await cache.put("key", b"value")
            return await cache.get("key")

    assert asyncio.run(scenario()) is None
