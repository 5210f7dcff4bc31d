"""What the client sends, when it sends it again, and which errors it raises."""

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest
from aahr_client import AahrError, AsyncClient, Client, Invalid, NotFound, TooManyRequests, Unavailable

from service.api.schemas import SearchRequest
from tests.conftest import PROJECT

ANSWER = {
    "results": [],
    "query": {"type": "text", "target": "image"},
    "index": {"name": "i", "version": "000001"},
    "model": {"name": "m", "model_id": "0"},
    "cached": False,
    "took_ms": 1.0,
    "something_new": 1,
}
BLOCKED = """
import sys
sys.path.insert(0, sys.argv[1])
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("service", "index", "model", "training", "numpy", "fastapi"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
import aahr_client
print(len(aahr_client.__all__))
"""


class Service:
    """Answers one after the other, the last one for ever; remembers what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, retries: int = 3) -> Client:
        return Client("http://s", api_key="secret", retries=retries, transport=httpx.MockTransport(self))


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    error = {"error": {"code": code, "message": "no", "field": "text"}}
    return httpx.Response(status, json=error, headers={"X-Request-Id": "r1", **headers})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aahr_client.sending._FIRST_WAIT_S", 0.001)


def ok() -> httpx.Response:
    return httpx.Response(200, json=ANSWER)


def test_only_what_is_given_is_sent_with_the_key() -> None:
    service = Service(ok())
    service.client().search(text="red", limit=3, filter={"must": []})
    (request,) = service.asked
    assert json.loads(request.content) == {"text": "red", "limit": 3, "filter": {"must": []}}
    assert request.headers["authorization"] == "Bearer secret"


def test_an_image_is_a_file_and_in_a_mix_base64() -> None:
    service = Service(ok())
    service.client().search(image=b"file", limit=2, filter={})
    service.client().search(mix=[{"image": b"file"}, {"text": "red", "weight": -1}])
    form, mix = service.asked
    assert form.headers["content-type"].startswith("multipart/form-data")
    assert b"file" in form.content
    assert json.loads(mix.content) == {"mix": [{"image": "ZmlsZQ=="}, {"text": "red", "weight": -1}]}


def test_every_field_of_a_search_is_an_argument_of_both_clients() -> None:
    for kind in (Client, AsyncClient):
        assert set(inspect.signature(kind.search).parameters) - {"self"} == set(SearchRequest.model_fields)


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(method) == inspect.signature(getattr(AsyncClient, name)), name


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Invalid), (404, NotFound), (413, Invalid), (422, Invalid), (500, Unavailable)]
)
def test_a_refusal_is_an_exception_with_its_parts_and_is_not_tried_again(status: int, kind: type[AahrError]) -> None:
    service = Service(refusal(status, "some_code"))
    with pytest.raises(kind, match="no") as caught:
        service.client().search(text="red")
    error = caught.value
    assert (error.status, error.code, error.field, error.request_id) == (status, "some_code", "text", "r1")
    assert len(service.asked) == 1


@pytest.mark.parametrize("first", [refusal(429, "overloaded"), refusal(503, "not_ready"), httpx.ConnectError("gone")])
def test_what_is_turned_away_or_lost_is_sent_again(first: httpx.Response | Exception) -> None:
    service = Service(first, first, ok())
    assert service.client().search(text="red").cached is False
    assert len(service.asked) == 3


def test_the_last_refusal_is_raised() -> None:
    service = Service(refusal(429, "rate_limited"))
    with pytest.raises(TooManyRequests):
        service.client(retries=2).search(text="red")
    assert len(service.asked) == 3


def test_a_change_whose_answer_was_lost_is_not_sent_again() -> None:
    service = Service(httpx.ReadError("lost"))
    for change in (lambda c: c.add_item(b"file"), lambda c: c.delete_item("a"), lambda c: c.rollback()):
        asked: Callable[[Client], object] = change
        with pytest.raises(httpx.ReadError):
            asked(service.client())
    assert len(service.asked) == 3


@pytest.mark.parametrize(("retry_after", "waited"), [("2", 2), ("900", 30), ("tomorrow", 0.001)])
def test_the_service_says_how_long_to_wait(retry_after: str, waited: float, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    Service(refusal(429, "overloaded", **{"Retry-After": retry_after}), ok()).client().search(text="red")
    assert slept == [waited]


def test_an_id_cannot_lead_to_another_path() -> None:
    service = Service(httpx.Response(200, content=b"file"))
    assert service.client().image("../admin/reload?x") == b"file"
    assert service.asked[0].url.raw_path == b"/items/..%2Fadmin%2Freload%3Fx/image"


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"error": "text"}', b""])
def test_a_proxy_may_answer_with_anything(content: bytes) -> None:
    with pytest.raises(Unavailable, match="status 502"):
        Service(httpx.Response(502, content=content)).client().search(text="red")


def test_the_asynchronous_client_does_the_same() -> None:
    service = Service(refusal(503, "not_ready"), ok())

    async def scenario() -> bool:
        async with AsyncClient("http://s", transport=httpx.MockTransport(service)) as client:
            return (await client.search(text="red")).cached

    assert asyncio.run(scenario()) is False
    assert len(service.asked) == 2


def test_it_is_imported_without_the_server() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", BLOCKED, str(PROJECT / "client")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 5
