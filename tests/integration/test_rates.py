"""Rates that replicas count together in a real Redis, which then goes away and comes back."""

import asyncio
import time

import pytest
from redis import Redis

from service.api.errors import RateLimited
from service.api.protection import make_rate_limit
from service.api.rates import NAMESPACE, RateLimit, parse_rates
from service.settings import Settings
from tests.servers import free_port, redis_server

PATIENT_S = 5.0


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


def test_replicas_count_together_and_alone_without_redis() -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"

    async def scenario() -> None:
        one, other = (RateLimit(parse_rates("5/hour"), url, timeout_s=PATIENT_S) for _ in range(2))
        with redis_server(port), Redis(port=port) as redis:
            assert [await count(one, 3), await count(other, 3), await count(one, 3)] == [3, 2, 0]
            assert {key[: len(NAMESPACE)] for key in redis.keys("*")} == {NAMESPACE.encode()}
        # Each of them now counts for itself, from the beginning.
        assert [await count(one, 9), await count(other, 9)] == [5, 5]
        for rates in (one, other):
            await rates.close()

    asyncio.run(scenario())


def test_the_settings_lead_to_redis() -> None:
    port = free_port()
    settings = Settings.model_validate(
        {"index_dir": "index", "rate_limit": "1000/hour", "redis_url": f"redis://127.0.0.1:{port}/0"}
    )

    async def scenario() -> None:
        rates = make_rate_limit(settings)
        assert rates is not None
        deadline = time.monotonic() + 60
        with redis_server(port), Redis(port=port) as redis:
            # A Redis that is late once, as on a busy machine, is left alone for a while.
            while redis.dbsize() == 0:
                assert await count(rates, 1) == 1
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
        await rates.close()

    asyncio.run(scenario())


def test_the_wait_that_redis_tells_is_long_enough() -> None:
    async def scenario(url: str) -> None:
        rates = RateLimit(parse_rates("4/second"), url, timeout_s=PATIENT_S)
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
        url = f"redis://127.0.0.1:{port}/0"
        rates = RateLimit(parse_rates("1000/hour"), url, timeout_s=PATIENT_S, pause_s=0.3)
        with redis_server(port):
            assert await count(rates, 1) == 1
        assert await count(rates, 50) == 50
        with redis_server(port), Redis(port=port) as redis:
            assert redis.dbsize() == 0
            await asyncio.sleep(0.3)
            assert await count(rates, 1) == 1
            assert redis.dbsize() > 0
        await rates.close()

    asyncio.run(scenario())
