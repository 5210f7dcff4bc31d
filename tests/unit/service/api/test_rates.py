"""Rates over a clock of our own, and a Redis that is slow or away."""

import asyncio
import time

import pytest

from model.errors import ConfigError
from service.api.errors import RateLimited
from service.api.rates import RateLimit, RecentWindows, parse_rates
from service.settings import read_settings
from tests.unit.service.cache.fake_redis import fake_redis


class Clock:
    """Shows the time that it is set to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def accepted(rates: RateLimit, client: str = "a", tries: int = 1) -> int:
    """How many of some requests are let through."""
    passed = 0
    for _ in range(tries):
        try:
            await rates.count(client)
        except RateLimited:
            continue
        passed += 1
    return passed


async def refusal(rates: RateLimit, client: str = "a") -> dict[str, str]:
    with pytest.raises(RateLimited) as caught:
        await rates.count(client)
    return dict(caught.value.headers)


def test_a_client_may_send_its_number_and_then_waits(clock: Clock) -> None:
    async def scenario() -> None:
        rates = RateLimit(parse_rates("10/minute"), clock=clock)
        assert await accepted(rates, tries=25) == 10
        told = await refusal(rates)
        assert (told["X-RateLimit-Limit"], told["X-RateLimit-Remaining"]) == ("10", "0")
        assert 1 <= int(told["Retry-After"]) <= 60
        clock.now += 120
        assert await accepted(rates, tries=25) == 10

    asyncio.run(scenario())


def test_who_waits_as_long_as_told_is_let_in_and_nobody_sooner(clock: Clock) -> None:
    async def scenario() -> None:
        for start in (0.0, 0.5, 17.3, 59.9):
            clock.now = 1_000_020.0 + start
            rates = RateLimit(parse_rates("7/minute"), clock=clock)
            for _ in range(20):
                if await accepted(rates) == 0:
                    wait_s = int((await refusal(rates))["Retry-After"])
                    if wait_s > 1:
                        clock.now += wait_s - 1.001
                        assert await accepted(rates) == 0
                        clock.now -= wait_s - 1.001
                    clock.now += wait_s
                    assert await accepted(rates) == 1

    asyncio.run(scenario())


def test_the_window_slides(clock: Clock) -> None:
    """At no turn of a minute may twice the number pass, as with windows that begin anew."""

    async def scenario() -> None:
        rates = RateLimit(parse_rates("10/minute"), clock=clock)
        clock.now = 1_000_020.0 - 1
        assert await accepted(rates, tries=20) == 10
        clock.now += 2
        assert await accepted(rates, tries=20) == 1
        clock.now += 30
        assert 4 <= await accepted(rates, tries=20) <= 5

    asyncio.run(scenario())


def test_clients_do_not_share_their_numbers(clock: Clock) -> None:
    async def scenario() -> None:
        rates = RateLimit(parse_rates("3/minute"), clock=clock)
        assert [await accepted(rates, client, 5) for client in ("a", "b", "a/b", "address a")] == [3, 3, 3, 3]

    asyncio.run(scenario())


def test_all_limits_hold_together(clock: Clock) -> None:
    async def scenario() -> None:
        rates = RateLimit(parse_rates("5/second;8/day"), clock=clock)
        assert await accepted(rates, tries=9) == 5
        clock.now += 5
        assert await accepted(rates, tries=9) == 3
        clock.now += 5
        assert (await refusal(rates))["X-RateLimit-Limit"] == "8"

    asyncio.run(scenario())


def test_only_the_clients_that_came_last_are_remembered(clock: Clock) -> None:
    async def scenario() -> tuple[list[int], int]:
        windows = RecentWindows(max_clients=3, clock=clock)
        for client in "abcad":
            assert await windows.acquire_sliding_window_entry(client, 10, 60)
        counts = [(await windows.get_sliding_window(client, 60))[2] for client in "abcd"]
        return counts, len(windows._windows)

    assert asyncio.run(scenario()) == ([2, 0, 1, 1], 3)


def test_a_redis_that_is_away_costs_no_request(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> tuple[int, float]:
        rates = RateLimit(parse_rates("50/minute"), "redis://:hidden@127.0.0.1:1/0", clock=clock)
        started = time.perf_counter()
        passed = await accepted(rates, tries=100)
        took = time.perf_counter() - started
        await rates.close()
        return passed, took

    passed, took = asyncio.run(scenario())
    assert passed == 50
    assert took < 1
    assert len(caplog.records) == 1
    assert "hidden" not in caplog.text


def test_a_redis_that_hangs_is_waited_for_once(clock: Clock) -> None:
    async def scenario() -> tuple[list[float], int]:
        async with fake_redis() as (fake, url):
            fake.delay_s = 10
            rates = RateLimit(parse_rates("1000/minute"), url, clock=clock)
            took = []
            for _ in range(20):
                started = time.perf_counter()
                assert await accepted(rates) == 1
                took.append(time.perf_counter() - started)
            await rates.close()
            return took, fake.asked

    took, _ = asyncio.run(scenario())
    assert 0.04 < took[0] < 0.5
    assert sum(took[1:]) < 0.04


@pytest.mark.parametrize("value", ["fast", "10", "10/fortnight", "-1/second", "x/second", "10/second;y"])
def test_a_limit_that_is_none_is_refused_at_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAHR_RATE_LIMIT", value)
    with pytest.raises(ConfigError, match="setting AAHR_RATE_LIMIT: value error, limits such as 100/second"):
        read_settings(index_dir="index")
