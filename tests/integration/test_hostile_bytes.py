"""Requests that no client library writes, over a socket: refused or closed, and the next one is answered."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.galleries import build_gallery
from tests.servers import served

BODY = b'{"text": "red", "limit": 1}'
HEAD = b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    gallery = build_gallery(tmp_path_factory.mktemp("hostile"))
    with served(gallery.index) as (client, _):
        yield client


def answer_to(client: httpx2.Client, sent: bytes, *, silence_s: float = 0.5) -> bytes:
    """What comes back for some bytes until the connection is closed, or nothing more has come for a while."""
    received = b""
    with socket.create_connection(("127.0.0.1", client.base_url.port or 80), timeout=silence_s) as connection:
        try:
            connection.sendall(sent)
            while part := connection.recv(65_536):
                received += part
        except OSError:
            pass
    return received


def assert_works(client: httpx2.Client) -> None:
    response = client.post("/search", json={"text": "a blue square", "limit": 1})
    assert response.json()["results"][0]["uri"] == "blue.jpg"


REQUESTS = {
    "nothing": b"",
    "no protocol": b"\r\n\r\n\r\n",
    "random bytes": bytes(range(256)) * 8,
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/0.9": b"GET /info\r\n",
    "unknown method": b"FROBNICATE /search HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "connect": b"CONNECT 127.0.0.1:6379 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "absolute form": b"GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
    "no host": b"GET /info HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /info HTTP/1.1\r\nHost: evil.example\r\nHost: 127.0.0.1\r\n\r\n",
    "two lengths": HEAD + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY,
    "length and chunks": HEAD + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + BODY,
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
    "huge length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
    "chunk of rubbish": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY,
    "huge chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n" + BODY,
    "unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + BODY,
    "header without name": HEAD + b": value\r\n\r\n",
    "NUL in a header": HEAD + b"X-A: a\x00b\r\n" + LENGTH + b"\r\n" + BODY,
    "line feeds alone": (HEAD + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "folded header": HEAD + b"X-A: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "a megabyte of header": HEAD + b"X-A: " + b"a" * 2**20 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "ten thousand headers": HEAD + b"X-A: a\r\n" * 10_000 + LENGTH + b"\r\n" + BODY,
    "a megabyte of path": b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "path out of the tree": b"GET /web/%2e%2e/%2e%2e/settings.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "path with NUL": b"GET /items/%00/image HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "path that is not UTF-8": b"GET /items/%ff%fe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "body in gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n\x1f\x8b\x08\x00\x00",
    "body that ends early": HEAD + b"Content-Length: 1000\r\n\r\n" + BODY,
    "ranges": b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=" + b"0-1," * 5000 + b"\r\n\r\n",
    "upgrade": b"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS.keys())
def test_no_bytes_are_a_server_error(client: httpx2.Client, request_bytes: bytes) -> None:
    answer = answer_to(client, request_bytes)
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:500]
    assert b"Traceback" not in answer
    assert_works(client)


def test_the_first_host_of_two_is_not_the_only_one_that_is_looked_at(client: httpx2.Client) -> None:
    """Whichever of two a proxy in front has looked at, the request is refused."""
    for first, second in ((b"evil.example", b"127.0.0.1"), (b"127.0.0.1", b"evil.example")):
        request = b"GET /info HTTP/1.1\r\nHost: %b\r\nHost: %b\r\nConnection: close\r\n\r\n" % (first, second)
        assert answer_to(client, request).startswith(b"HTTP/1.1 400")


def test_requests_that_come_in_one_piece_are_answered_in_order(client: httpx2.Client) -> None:
    one = HEAD + LENGTH + b"\r\n" + BODY
    last = one.replace(b"Host: 127.0.0.1\r\n", b"Host: 127.0.0.1\r\nConnection: close\r\n")
    answer = answer_to(client, one * 7 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 8


def test_slow_clients_do_not_hold_up_others(client: httpx2.Client) -> None:
    """Forty clients send a byte now and then, and forty connections say nothing at all."""
    address = ("127.0.0.1", client.base_url.port or 80)
    slow = [socket.create_connection(address) for _ in range(80)]
    try:
        for connection in slow[:40]:
            connection.sendall(HEAD + b"X-A: ")
        started = time.monotonic()
        for _ in range(20):
            for connection in slow[:40]:
                connection.sendall(b"a")
            assert_works(client)
        assert time.monotonic() - started < 20
    finally:
        for connection in slow:
            connection.close()


def test_clients_that_leave_without_the_answer_harm_nobody(client: httpx2.Client) -> None:
    def leave(number: int) -> None:
        body = json.dumps({"text": "red", "score_threshold": -1 - number / 1000}).encode()
        with socket.create_connection(("127.0.0.1", client.base_url.port or 80)) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(leave, range(200)))
    assert_works(client)
