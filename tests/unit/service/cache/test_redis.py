"""A Redis that cannot be used; the faults of a real server are tested in tests/integration/test_redis.py."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from model.errors import ConfigError
from service.cache.breaker import SLOW_IN_A_ROW
from service.cache.redis import RedisCache
from tests.unit.service.cache.fake_redis import fake_redis


@asynccontextmanager
async def opened(url: str, *, timeout_s: float = 0.05, pause_s: float = 0.25) -> AsyncIterator[RedisCache]:
    """A cache that is closed at the end."""
    cache = RedisCache(url, 60, timeout_s=timeout_s, pause_s=pause_s)
    try:
        yield cache
    finally:
        await cache.close()


async def eventually(ask: Callable[[], Awaitable[bytes | None]], expected: bytes) -> None:
    """Ask until the answer is the expected one."""
    async with asyncio.timeout(10):
        while await ask() != expected:
            await asyncio.sleep(0.01)


async def put(cache: RedisCache, key: str, value: bytes) -> None:
    """Written when this returns."""
    await cache.put(key, value)
    await cache.flush()


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


def test_a_redis_that_hangs_is_left_alone_and_used_again() -> None:
    async def scenario() -> None:
        async with fake_redis() as (fake, url), opened(url, pause_s=0.1) as cache:
            await put(cache, "key", b"value")
            fake.delay_s = 10
            assert await cache.get("key") is None
            started = time.perf_counter()
            asked = fake.asked
            for _ in range(20):
                await cache.put("other", b"value")
                assert await cache.get("key") is None
            assert time.perf_counter() - started < 0.05
            assert fake.asked == asked
            fake.delay_s = 0
            await eventually(lambda: cache.get("key"), b"value")

    asyncio.run(scenario())


def test_no_caller_waits_for_a_trial() -> None:
    async def scenario() -> float:
        async with fake_redis() as (fake, url), opened(url, pause_s=0.02) as cache:
            await put(cache, "key", b"value")
            fake.delay_s = 0.2
            assert await cache.get("key") is None
            slowest = 0.0
            for _ in range(40):
                await asyncio.sleep(0.01)
                started = time.perf_counter()
                assert await cache.get("key") is None
                slowest = max(slowest, time.perf_counter() - started)
            return slowest

    assert asyncio.run(scenario()) < 0.04


def test_a_redis_that_is_slow_but_answers_is_left_alone() -> None:
    async def scenario() -> None:
        async with fake_redis() as (fake, url), opened(url, pause_s=0.1) as cache:
            await put(cache, "key", b"value")
            fake.delay_s = 0.03
            found = [await cache.get("key") for _ in range(SLOW_IN_A_ROW)]
            assert found.count(b"value") >= SLOW_IN_A_ROW - 1
            started = time.perf_counter()
            assert [await cache.get("key") for _ in range(20)] == [None] * 20
            assert time.perf_counter() - started < 0.03
            fake.delay_s = 0
            await eventually(lambda: cache.get("key"), b"value")

    asyncio.run(scenario())


def test_a_stall_of_our_own_is_no_fault_of_redis() -> None:
    async def scenario() -> bytes | None:
        async with fake_redis() as (fake, url), opened(url) as cache:
            await put(cache, "key", b"value")
            fake.delay_s = 10
            waiting = asyncio.create_task(cache.get("key"))
            await asyncio.sleep(0.01)
            time.sleep(0.08)
            assert await waiting is None
            fake.delay_s = 0
            return await cache.get("key")

    assert asyncio.run(scenario()) == b"value"


def test_an_answer_that_our_own_loop_was_too_busy_to_read_is_not_slow() -> None:
    async def busy(cache: RedisCache) -> bytes | None:
        """The loop runs others for 15 ms while the answer is there already."""
        waiting = asyncio.create_task(cache.get("key"))
        for _ in range(15):
            await asyncio.sleep(0)
            until = time.perf_counter() + 0.001
            while time.perf_counter() < until:
                pass
        return await waiting

    async def scenario() -> list[bytes | None]:
        async with fake_redis() as (_, url), opened(url, timeout_s=1) as cache:
            await put(cache, "key", b"value")
            return [await busy(cache) for _ in range(2 * SLOW_IN_A_ROW)]

    assert asyncio.run(scenario()) == [b"value"] * 2 * SLOW_IN_A_ROW


def test_nobody_waits_for_a_write() -> None:
    async def scenario() -> tuple[float, list[bytes | None]]:
        async with fake_redis() as (fake, url), opened(url, timeout_s=1) as cache:
            await put(cache, "first", b"1")
            before = fake.connections
            fake.delay_s = 0.002
            started = time.perf_counter()
            for number in range(50):
                await cache.put(f"{number}", b"%d" % number)
            took = time.perf_counter() - started
            await cache.flush()
            assert fake.connections == before, "the connection was kept"
            return took, await asyncio.gather(*(cache.get(f"{number}") for number in range(50)))

    took, found = asyncio.run(scenario())
    assert took < 0.05
    assert found == [b"%d" % number for number in range(50)]


def test_writes_that_pile_up_are_dropped_at_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cache.redis.MAX_UNWRITTEN_BYTES", 1000)

    async def scenario() -> list[bool]:
        async with fake_redis() as (_, url), opened(url, timeout_s=1) as cache:
            for number in range(20):
                await cache.put(f"{number}", bytes(100))
            await cache.flush()
            await cache.put("later", bytes(100))
            await cache.flush()
            keys = [*(f"{number}" for number in range(20)), "later"]
            return [value is not None for value in await asyncio.gather(*map(cache.get, keys))]

    *piled_up, later = asyncio.run(scenario())
    assert later
    assert 5 < piled_up.count(True) < 10


def test_every_reader_is_answered_however_they_come() -> None:
    """Readers end and start at any moment: none may be forgotten between two commands."""

    async def client(cache: RedisCache, seed: int) -> int:
        hits = 0
        for step in range(100):
            hits += await cache.get(f"{(seed * step) % 7}") == b"value"
            if (seed + step) % 3 == 0:
                await asyncio.sleep(0)
        return hits

    async def scenario() -> int:
        async with fake_redis() as (_, url), opened(url, timeout_s=5) as cache:
            for key in range(7):
                await cache.put(f"{key}", b"value")
            await cache.flush()
            async with asyncio.timeout(30):
                return sum(await asyncio.gather(*(client(cache, seed) for seed in range(32))))

    assert asyncio.run(scenario()) == 3200


def test_keys_that_are_asked_for_together_are_one_command() -> None:
    async def scenario() -> tuple[list[bytes | None], int]:
        async with fake_redis() as (fake, url), opened(url) as cache:
            await put(cache, "a", b"1")
            await put(cache, "b", b"2")
            before = fake.asked
            found = await asyncio.gather(*(cache.get(key) for key in ("b", "none", "a", "b")))
            return found, fake.asked - before

    assert asyncio.run(scenario()) == ([b"2", None, b"1", b"2"], 1)


def test_a_reader_that_gives_up_leaves_the_answer_to_the_others() -> None:
    async def scenario() -> bytes | None:
        async with fake_redis() as (_, url), opened(url) as cache:
            await put(cache, "a", b"1")
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
        async with server, opened(f"redis://127.0.0.1:{port}/0?protocol=2") as cache:
            await put(cache, "key", b"value")
            return await cache.get("key")

    assert asyncio.run(scenario()) is None
