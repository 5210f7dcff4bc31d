"""How many requests are in progress, and how long they may take."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.api.limits import RequestLimits

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Client:
    """Sends a request whose body arrives as told, and keeps what comes back."""

    def __init__(self, path: str = "/search", body: list[Message] | None = None) -> None:
        self.scope: dict[str, Any] = {"type": "http", "path": path, "method": "POST", "headers": []}
        self._body = [{"type": "http.request", "body": b"", "more_body": False}] if body is None else list(body)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if self._body:
            return self._body.pop(0)
        await asyncio.sleep(60)
        raise AssertionError("the request outlived its deadline")

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def outcome(self) -> tuple[int, str | None]:
        """The status, and the code of an error."""
        body = b"".join(message.get("body", b"") for message in self.sent[1:])
        return self.sent[0]["status"], json.loads(body)["error"]["code"] if body else None

    def header(self, name: str) -> str | None:
        found = dict(self.sent[0]["headers"]).get(name.encode())
        return None if found is None else found.decode()


async def answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def read_then_answer(_scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await answer(send)


async def work_forever(_scope: Scope, receive: Receive, _send: Send) -> None:
    await receive()
    await asyncio.sleep(60)


async def wait_for_disconnect(_scope: Scope, receive: Receive, _send: Send) -> None:
    await receive()
    await receive()


async def begin_and_stop(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.sleep(60)


def limited(app: App, timeout_s: float = 0.05, most: int = 2) -> RequestLimits:
    return RequestLimits(app, timeout_s=timeout_s, max_concurrency=most)


def ask(app: RequestLimits, client: Client) -> Client:
    async def scenario() -> None:
        await app(client.scope, client.receive, client.send)

    asyncio.run(scenario())
    assert app.in_progress == 0
    return client


def test_a_body_that_is_held_back_gets_a_408_and_loses_its_connection() -> None:
    client = ask(limited(read_then_answer), Client(body=[{"type": "http.request", "body": b"{", "more_body": True}]))
    assert client.outcome == (408, "slow_request")
    assert client.header("connection") == "close"


@pytest.mark.parametrize("app", [work_forever, wait_for_disconnect])
def test_a_service_that_is_too_slow_says_so(app: App) -> None:
    client = ask(limited(app), Client())
    assert client.outcome == (503, "request_timeout")
    assert client.header("retry-after") == "1"


def test_an_answer_that_has_begun_is_cut_off_without_another_one() -> None:
    client = ask(limited(begin_and_stop), Client())
    assert [message["type"] for message in client.sent] == ["http.response.start"]


def test_health_has_no_deadline_and_no_place_in_the_queue() -> None:
    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await answer(send)

    assert ask(limited(slow), Client("/health/ready")).outcome == (200, None)
    assert ask(limited(slow), Client("/healthy")).outcome[0] == 503


def test_a_request_in_time_is_answered_and_leaves_no_timer() -> None:
    async def scenario() -> int:
        app, client = limited(read_then_answer), Client()
        await app(client.scope, client.receive, client.send)
        assert client.outcome == (200, None)
        # A cancellation that came late would end this.
        await asyncio.sleep(0.1)
        return app.in_progress

    assert asyncio.run(scenario()) == 0


def test_a_failure_of_the_route_passes_through() -> None:
    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise TimeoutError("of the route itself")

    with pytest.raises(TimeoutError, match="of the route itself"):
        ask(limited(fail), Client())


def test_a_cancelled_request_is_cancelled() -> None:
    async def scenario() -> Client:
        app, client = limited(work_forever, timeout_s=30), Client()
        task = asyncio.create_task(app(client.scope, client.receive, client.send))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert app.in_progress == 0
        return client

    assert asyncio.run(scenario()).sent == []


def test_each_request_has_a_deadline_of_its_own() -> None:
    """One timer serves all, however they overlap."""

    async def scenario() -> list[tuple[float, int]]:
        loop, app = asyncio.get_running_loop(), limited(work_forever, timeout_s=0.1, most=9)

        async def one(after_s: float) -> tuple[float, int]:
            await asyncio.sleep(after_s)
            started, client = loop.time(), Client()
            await app(client.scope, client.receive, client.send)
            return loop.time() - started, client.outcome[0]

        return await asyncio.gather(one(0), one(0.03), one(0.06), one(0.25))

    for took, status in asyncio.run(scenario()):
        assert status == 503
        assert 0.09 < took < 0.19


def test_more_requests_than_allowed_are_refused_at_once_and_good_ones_follow() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def wait(_scope: Scope, _receive: Receive, send: Send) -> None:
            await gate.wait()
            await answer(send)

        app = limited(wait, timeout_s=5)
        clients = [Client() for _ in range(5)]
        tasks = [asyncio.create_task(app(client.scope, client.receive, client.send)) for client in clients]
        await asyncio.sleep(0)
        assert app.in_progress == 2
        for refused in clients[2:]:
            assert refused.outcome == (429, "overloaded")
            assert refused.header("retry-after") == "1"
        probe = Client("/health/live")
        gate.set()
        await app(probe.scope, probe.receive, probe.send)
        await asyncio.gather(*tasks)
        last = Client()
        await app(last.scope, last.receive, last.send)
        assert [client.outcome for client in (*clients[:2], probe, last)] == [(200, None)] * 4

    asyncio.run(scenario())
