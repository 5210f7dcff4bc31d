"""The outermost layer of a request: id, count, stages, access line."""

import asyncio
import logging
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.obs.context import current_request_id
from service.obs.metrics import UNMATCHED, Metrics
from service.obs.middleware import Observed, request_id_of
from tests.unit.service.obs.requests import observed_client
from tests.unit.service.obs.test_metrics import value

NEW_ID = re.compile("[0-9a-f]{16}")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics) -> Iterator[TestClient]:
    with observed_client(metrics, log_access=True) as client:
        yield client


@pytest.mark.parametrize("given", ["a", "req-1.2_3", "A" * 64, "0"])
def test_a_sane_id_of_the_client_is_kept(client: TestClient, given: str) -> None:
    response = client.get("/items/a", headers={"X-Request-Id": given})
    assert (response.headers["x-request-id"], response.text) == (given, given)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"A" * 65,
        b"a b",
        b"a\nb",
        b"a\r\nSet-Cookie: x=1",
        b"abc\n",
        b"\n",
        b"a\x00",
        "größe".encode(),
        "１２".encode(),
        b"<script>",
        b'a"b',
        b"../../etc/passwd",
        b"%0a",
        b"\xff\xfe",
    ],
)
def test_a_hostile_id_is_replaced(given: bytes) -> None:
    """By the bytes of the scope: clients and servers between would already refuse some of them."""
    made = request_id_of({"headers": [(b"host", b"a"), (b"x-request-id", given)]})
    assert NEW_ID.fullmatch(made)


def test_ids_that_are_made_differ(client: TestClient) -> None:
    made = {client.get("/items/a").headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20
    assert all(NEW_ID.fullmatch(one) for one in made)


@pytest.mark.parametrize("path", ["/items/lost", "/nowhere", "/items/a"])
def test_every_answer_has_exactly_one_id(client: TestClient, path: str) -> None:
    response = client.get(path, headers={"X-Request-Id": "mine"})
    assert response.headers.get_list("x-request-id") == ["mine"]


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("GET", "/items/a", ("/items/{id}", "GET", "200")),
        ("GET", "/items/lost", ("/items/{id}", "GET", "404")),
        ("GET", "/items/broken", ("/items/{id}", "GET", "500")),
        ("GET", "/nowhere/secret", (UNMATCHED, "GET", "404")),
        ("BREW", "/nowhere", (UNMATCHED, "other", "404")),
    ],
)
def test_requests_are_counted_by_template(
    client: TestClient, metrics: Metrics, method: str, path: str, counted: tuple[str, str, str]
) -> None:
    client.request(method, path)
    route, counted_method, status = counted
    assert value(metrics, "aahr_http_requests_total", route=route, method=counted_method, status=status) == 1
    assert value(metrics, "aahr_http_request_duration_seconds_count", route=route) == 1
    assert value(metrics, "aahr_http_requests_in_flight") == 0


def test_the_stopwatch_feeds_the_stages(client: TestClient, metrics: Metrics) -> None:
    client.get("/items/a")
    assert value(metrics, "aahr_stage_duration_seconds_sum", stage="encode") == pytest.approx(0.004)
    assert value(metrics, "aahr_stage_duration_seconds_count", stage="search") == 1
    assert value(metrics, "aahr_stage_duration_seconds_count", stage="cache") == 0


async def receive() -> Message:
    """Nobody sends a body."""
    return {"type": "http.request"}


def access_lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "service.access"]


def test_one_access_line_a_request_without_path_query_or_keys(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "service.access"):
        client.get("/items/a?text=secret", headers={"Authorization": "Bearer secret", "X-Request-Id": "mine"})
        client.get("/nowhere/secret")
        client.get("/items/broken")
    lines = access_lines(caplog)
    shown = [(line.method, line.route, line.status) for line in lines]  # type: ignore[attr-defined]
    assert shown == [("GET", "/items/{id}", 200), ("GET", UNMATCHED, 404), ("GET", "/items/{id}", 500)]
    assert lines[0].stages_ms == {"encode": 4.0, "search": 1.0}  # type: ignore[attr-defined]
    assert re.fullmatch(r"GET /items/\{id\} 200 in \d+\.\d{3} ms", lines[0].getMessage())
    assert not [line for line in lines if "secret" in repr(line.__dict__)]


def test_no_access_lines_unless_asked_for(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    with observed_client(metrics, log_access=False) as client, caplog.at_level(logging.INFO, "service.access"):
        assert client.get("/items/a").status_code == 200
    assert access_lines(caplog) == []


def bare_scope() -> Scope:
    return {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", b"mine")]}


def test_headers_that_responses_share_are_not_changed(metrics: Metrics) -> None:
    shared: Message = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(shared)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Observed(app, metrics, log_access=False)(bare_scope(), receive, send))
    assert sent[0]["headers"] == [(b"a", b"b"), (b"x-request-id", b"mine")]
    assert shared["headers"] == [(b"a", b"b")]


def test_an_answer_that_breaks_off_is_a_failure(metrics: Metrics) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise RuntimeError("in mid-answer")

    async def send(_: Message) -> None:
        pass

    with pytest.raises(RuntimeError, match="in mid-answer"):
        asyncio.run(Observed(app, metrics, log_access=False)(bare_scope(), receive, send))
    assert value(metrics, "aahr_http_requests_total", route=UNMATCHED, method="GET", status="500") == 1
    assert value(metrics, "aahr_http_requests_in_flight") == 0


def test_outside_of_a_request_there_is_no_id() -> None:
    assert current_request_id() is None
