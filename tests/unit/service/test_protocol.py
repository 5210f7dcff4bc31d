"""Heads of requests that are too large, too slow, or not HTTP, over real connections."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service import protocol

GOOD = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
START = b"GET / HTTP/1.1\r\nHost: a\r\n"


async def app(_scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """The port of a server."""
    config = uvicorn.Config(
        app,
        http=protocol.LimitedProtocol,
        ws="none",
        lifespan="off",
        port=0,
        log_config=None,
        loop="asyncio",
    )
    server = uvicorn.Server(config)
    # Signals are for the tests.
    server.capture_signals = nullcontext  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def talk(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """What comes back for some bytes until the server closes; an end by a reset gives what came before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(10):
            while chunk := await reader.read(65_536):
                received += chunk
    except ConnectionError:
        pass
    finally:
        writer.close()
    return received


def exchange(*conversations: Sequence[bytes], pause_s: float = 0.0) -> list[bytes]:
    async def scenario() -> list[bytes]:
        async with served() as port:
            return [await talk(port, *parts, pause_s=pause_s) for parts in (*conversations, [GOOD])]

    *answers, last = asyncio.run(scenario())
    assert last.startswith(b"HTTP/1.1 200 "), "a good request after each bad one"
    return answers


def outcome(answer: bytes) -> tuple[int, str | None]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    return status, None if status == 200 else json.loads(body)["error"]["code"]


@pytest.mark.parametrize(
    "parts",
    [
        [START + b"X: y\r\n" * 200 + b"\r\n"],
        [START + b"X: " + b"y" * 40_000 + b"\r\n\r\n"],
        [b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"],
        [START + b"X: " + b"y" * 40_000],
        [START + b"y" * 40_000],
        [START, b"X: " + b"y" * 20_000, b"y" * 20_000],
    ],
)
def test_a_head_that_is_too_large(parts: list[bytes]) -> None:
    (answer,) = exchange(parts)
    assert outcome(answer) == (431, "head_too_large")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("garbage", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_not_http_has_the_error_shape(garbage: bytes) -> None:
    assert outcome(exchange([garbage])[0]) == (400, "malformed_request")


def test_heads_within_the_limits_pass_and_bodies_are_not_counted() -> None:
    long = START + b"Connection: close\r\nX: " + b"y" * 30_000 + b"\r\n\r\n"
    many = START + b"Connection: close\r\n" + b"X: y\r\n" * 97 + b"\r\n"
    body = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n"
    kept = START + b"X: " + b"y" * 20_000 + b"\r\n\r\n"
    answers = exchange([long], [many], [body, b"x" * 100_000, b"x" * 100_000], [kept, kept, GOOD])
    assert [outcome(answer)[0] for answer in answers] == [200] * 4
    assert answers[3].count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize("parts", [[], [START], [START, *[b"X: y\r\n"] * 9], [START + b"\r\n", START]])
def test_a_head_that_takes_too_long_ends_the_connection(parts: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.15)
    started = time.monotonic()
    (answer,) = exchange(parts, pause_s=0.05)
    assert time.monotonic() - started < 2
    assert answer.count(b"HTTP/1.1") == parts.count(START + b"\r\n")


def test_a_slow_body_is_not_a_slow_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.1)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"
    assert outcome(exchange([head, *[b"x"] * 4], pause_s=0.06)[0]) == (200, None)
