"""A Redis that cannot be used; the faults of a real server are tested in tests/integration/test_redis.py."""

import asyncio
import time

import pytest

from model.errors import ConfigError
from service.cache.redis import RedisCache


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
