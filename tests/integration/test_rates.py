"""Rates that two services count together in a real Redis, which then goes away and comes back."""

import asyncio
import time
from pathlib import Path

import httpx2
import pytest
from redis import Redis

from service.api.errors import RateLimited
from service.api.rates import NAMESPACE, PAUSE_S, RateLimit, parse_rates
from tests.galleries import BuiltGallery, build_gallery
from tests.servers import eventually, free_port, redis_server, served


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("gallery"))


def statuses(client: httpx2.Client, tries: int) -> list[int]:
    return [client.get("/items/img_0").status_code for _ in range(tries)]


async def count(rates: RateLimit, tries: int) -> int:
    """How many of some requests are let through."""
    passed = 0
    for _ in range(tries):
        try:
            await rates.count("a client")
        except RateLimited:
            continue
        passed += 1
    return passed


def test_two_processes_count_together_and_alone_without_redis(gallery: BuiltGallery, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "url").write_text(f"redis://127.0.0.1:{port}/0\n")
    environment = {"REDIS_URL_FILE": str(tmp_path / "url"), "AAHR_RATE_LIMIT": "5/hour", "AAHR_WATCH_S": "0"}
    with redis_server(port) as process, served(gallery.index, environment) as (one, _):
        with served(gallery.index, environment) as (other, _):
            assert statuses(one, 3) == [404] * 3
            assert statuses(other, 3) == [404, 404, 429]
            assert statuses(one, 1) == [429]
            with Redis(port=port) as redis:
                assert [key for key in redis.keys("*") if key.startswith(NAMESPACE.encode())]
            process.kill()
            process.wait()
            # Each of them now counts for itself, from the beginning.
            assert statuses(one, 6) == [404] * 5 + [429]
            assert statuses(other, 6) == [404] * 5 + [429]


def test_the_wait_that_redis_tells_is_long_enough() -> None:
    async def scenario(url: str) -> None:
        rates = RateLimit(parse_rates("4/second"), url, timeout_s=2)
        for _ in range(2):
            while await count(rates, 1):
                pass
            with pytest.raises(RateLimited) as caught:
                await rates.count("a client")
            await asyncio.sleep(int(caught.value.headers["Retry-After"]))
            assert await count(rates, 1) == 1
        await rates.close()

    port = free_port()
    with redis_server(port):
        asyncio.run(scenario(f"redis://127.0.0.1:{port}/0"))


def test_redis_is_used_again_once_it_is_back() -> None:
    port = free_port()

    async def scenario() -> None:
        rates = RateLimit(parse_rates("1000/hour"), f"redis://127.0.0.1:{port}/0", timeout_s=0.5)
        with redis_server(port):
            assert await count(rates, 1) == 1
        started = time.monotonic()
        assert await count(rates, 50) == 50
        assert time.monotonic() - started < PAUSE_S
        with redis_server(port), Redis(port=port) as redis:
            assert redis.dbsize() == 0
            await asyncio.sleep(PAUSE_S)
            assert await count(rates, 1) == 1
            eventually(lambda: redis.dbsize() > 0, "Redis counts again")
        await rates.close()

    asyncio.run(scenario())
