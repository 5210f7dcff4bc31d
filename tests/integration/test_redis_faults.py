"""Redis fails in mid-load, in every way that we could think of: no request does, and it is used again afterwards."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import httpx2
import pytest
from redis import Redis

from tests.faulty_redis import FaultyProxy, faulty_proxy, paused
from tests.galleries import BuiltGallery, build_gallery
from tests.servers import eventually, free_port, redis_server, served

FAULT_S = 1.0
# An answer takes some milliseconds, and once in three seconds one waits 50 ms for Redis: this is for busy machines.
LONGEST_S = 2.0


@dataclass
class Place:
    """A service that caches in a Redis behind a proxy, and the processes of both."""

    client: httpx2.Client
    proxy: FaultyProxy
    redis_port: int
    stack: ExitStack
    redis_pid: int = 0

    def start_redis(self) -> None:
        """Start it, or start it anew after it was killed."""
        self.redis_pid = self.stack.enter_context(redis_server(self.redis_port)).pid


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def place(gallery: BuiltGallery) -> Iterator[Place]:
    with ExitStack() as stack:
        port = free_port()
        proxy = stack.enter_context(faulty_proxy(port))
        settings = {"REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0", "AAHR_CACHE_BYTES": "0"}
        client, _ = stack.enter_context(served(gallery.index, settings))
        place = Place(client, proxy, port, stack)
        place.start_redis()
        yield place


@contextmanager
def slow(place: Place) -> Iterator[None]:
    place.proxy.delay_s = 0.2
    yield
    place.proxy.delay_s = 0.0


@contextmanager
def answering_rubbish(place: Place) -> Iterator[None]:
    place.proxy.rubbish = b"*2\r\n$9999999999\r\nHTTP/1.1 400 Bad Request\r\n\r\n"
    yield
    place.proxy.rubbish = None


@contextmanager
def full(place: Place) -> Iterator[None]:
    with Redis(port=place.redis_port) as redis:
        redis.config_set("maxmemory", "1")
        yield
        redis.config_set("maxmemory", "0")


@contextmanager
def stopped(place: Place) -> Iterator[None]:
    with paused(place.redis_pid):
        yield


@contextmanager
def killed(place: Place) -> Iterator[None]:
    with Redis(port=place.redis_port) as redis:
        redis.shutdown(nosave=True, now=True)
    yield
    place.start_redis()


@contextmanager
def wrong_types(place: Place) -> Iterator[None]:
    with Redis(port=place.redis_port) as redis:
        for key in redis.keys("aahr:*"):
            redis.delete(key)
            redis.lpush(key, "a list")
        yield
        redis.flushall()


@pytest.mark.parametrize("fault", [slow, answering_rubbish, full, stopped, wrong_types, killed])
def test_no_request_fails_and_redis_is_used_again(
    place: Place, fault: Callable[[Place], AbstractContextManager[None]]
) -> None:
    eventually(lambda: is_cached(place.client), "Redis is used")
    stop, slowest = threading.Event(), [0.0]

    def search(seed: int) -> int:
        step = 0
        while not stop.is_set():
            step += 1
            # Every other request is new; the others were in the cache a moment before.
            threshold = -1 - seed - (step // 2) / 1e6
            started = time.perf_counter()
            response = place.client.post("/search", json={"text": "red", "score_threshold": threshold})
            slowest[0] = max(slowest[0], time.perf_counter() - started)
            assert response.status_code == 200, response.text
            assert response.json()["results"][0]["uri"] == "red.jpg"
        return step

    with ThreadPoolExecutor(4) as threads:
        searching = [threads.submit(search, seed) for seed in range(4)]
        try:
            time.sleep(FAULT_S / 4)
            with fault(place):
                time.sleep(FAULT_S)
        finally:
            stop.set()
        assert all(one.result() > 1 for one in searching)
    assert slowest[0] < LONGEST_S
    eventually(lambda: is_cached(place.client), "Redis is used again")


def is_cached(client: httpx2.Client) -> bool:
    response = client.post("/search", json={"text": "blue"})
    assert response.status_code == 200, response.text
    return bool(response.json()["cached"])
