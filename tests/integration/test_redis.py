"""Answers cached in a real Redis, which may hold junk; tests/integration/test_redis_faults.py makes it fail."""

import asyncio
import shutil
import time
from pathlib import Path

import httpx2
import pytest
from redis import Redis

from service.cache.redis import NAMESPACE, RedisCache
from tests.galleries import BuiltGallery, build_gallery, image_bytes
from tests.servers import eventually, free_port, redis_server, served


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture
def port() -> int:
    return free_port()


def ask(client: httpx2.Client, **fields: object) -> bool:
    """Whether the answer, which has to be right, came from the cache."""
    response = client.post("/search", json=fields)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["results"][0]["uri"] == f"{fields['text']}.jpg"
    return bool(answer["cached"])


def becomes_cached(client: httpx2.Client, **fields: object) -> None:
    """A Redis that is late once, as on a busy machine, is a miss; the next equal request is not."""
    eventually(lambda: ask(client, **fields), f"the answer to {fields} is cached")


def test_second_equal_query_comes_from_redis(gallery: BuiltGallery, port: int) -> None:
    with (
        redis_server(port),
        Redis(port=port) as redis,
        served(gallery.index, {"REDIS_URL": f"redis://127.0.0.1:{port}/0", "AAHR_CACHE_BYTES": "0"}) as (client, _),
    ):
        assert client.get("/info").json()["cache"] == "redis"
        assert not ask(client, text="red")
        becomes_cached(client, text="red")
        (key,) = redis.keys(NAMESPACE + "search:*")
        assert 3239 <= redis.ttl(key) <= 3960
        for other in ({"limit": 3}, {"offset": 0, "score_threshold": -1.0}, {"with_payload": False}):
            assert not ask(client, text="red", **other)
            becomes_cached(client, text="red", **other)
        assert len(redis.keys(NAMESPACE + "search:*")) == 4
        files = {"image": image_bytes("red")}
        assert not client.post("/search", files=files).json()["cached"]
        eventually(lambda: client.post("/search", files=files).json()["cached"], "the answer to an image is cached")
        redis.flushall()
        assert not ask(client, text="red")


def test_two_services_share_answers(gallery: BuiltGallery, port: int, tmp_path: Path) -> None:
    """Also where the second one has the index at another path, under another name."""
    environment = {"REDIS_URL": f"redis://127.0.0.1:{port}/0", "AAHR_MODEL_DIR": str(gallery.model)}
    copy = shutil.copytree(gallery.index, tmp_path / "copy")
    with redis_server(port), Redis(port=port) as redis:
        for index in (gallery.index, copy):
            with served(index, environment) as (client, _):
                becomes_cached(client, text="green")
                assert client.post("/search", json={"text": "green"}).json()["index"]["name"] == index.name
            assert len(redis.keys(NAMESPACE + "search:*")) == 1


def test_junk_under_a_key_is_computed_anew(gallery: BuiltGallery, port: int) -> None:
    with (
        redis_server(port),
        Redis(port=port) as redis,
        served(gallery.index, {"REDIS_URL": f"redis://127.0.0.1:{port}/0", "AAHR_CACHE_BYTES": "0"}) as (client, _),
    ):
        becomes_cached(client, text="red")
        (key,) = redis.keys(NAMESPACE + "search:*")
        whole = redis.get(key)
        for junk in (b"", b"{}", b"junk", whole[:-1], whole + b"}"):
            redis.set(key, junk)
            assert not ask(client, text="red")
            becomes_cached(client, text="red")
        redis.delete(key)
        redis.lpush(key, b"a list")
        assert not ask(client, text="red")


def test_a_redis_that_comes_later_is_used(gallery: BuiltGallery, port: int) -> None:
    with served(gallery.index, {"REDIS_URL": f"redis://127.0.0.1:{port}/0", "AAHR_CACHE_BYTES": "0"}) as (client, _):
        assert not ask(client, text="red")
        assert client.get("/health/ready").status_code == 200
        with redis_server(port):
            eventually(lambda: ask(client, text="red"), "the late Redis is used")


def test_stalls_of_our_own_do_not_shut_out_a_healthy_redis(port: int) -> None:
    async def scenario() -> int:
        # Long enough for a Redis that gets no core for a while on a busy machine.
        cache = RedisCache(f"redis://127.0.0.1:{port}/0", 60, timeout_s=0.6)
        async with asyncio.timeout(30):
            while await cache.get("key") != b"value":
                await cache.put("key", b"value")
                await asyncio.sleep(0.01)

        async def client() -> int:
            return sum([await cache.get("key") == b"value" for _ in range(100)])

        clients = [asyncio.create_task(client()) for _ in range(16)]
        for _ in range(3):
            await asyncio.sleep(0.01)
            time.sleep(1)
        hits = sum(await asyncio.gather(*clients))
        await cache.close()
        return hits

    with redis_server(port):
        # Each of the 16 may lose what it waited for in each of the three stalls, and in some of a busy machine's own.
        assert asyncio.run(scenario()) >= 1200
