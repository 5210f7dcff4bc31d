"""Who is let in: by key, by scope, and without a key."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from model.errors import ConfigError
from service.api.auth import Caller, Gate, admit, is_open
from service.api.errors import ForbiddenError, InsufficientScope, UnauthorizedError
from service.credentials import KeyScope, parse_keys
from service.settings import Settings
from tests.galleries import BuiltGallery
from tests.unit.service.conftest import make_app, open_client

SEARCH, WRITE, ADMIN = "search-key-0123456789", "write-key-0123456789", "admin-key-0123456789"
KEYS = f"web:search:{SEARCH},loader:write:{WRITE},root:admin:{ADMIN}"
OPEN = ("/health/live", "/health/ready", "/docs", "/openapi.json", "/", "/status", "/web/main.js")
CLOSED = ("/info", "/items/img_0", "/items/img_0/image", "/metrics", "/nothing", "/docsx", "/web", "/health/", "//")


def request(key: str | bytes | None = None, client: str | None = "127.0.0.1", **headers: str) -> dict[str, Any]:
    """The scope of a request."""
    sent = {"host": "127.0.0.1", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
    if key is not None:
        raw.append((b"authorization", key if isinstance(key, bytes) else f"Bearer {key}".encode()))
    return {"type": "http", "headers": raw, "client": client and (client, 50000), "state": {}}


def admitted(gate: Gate, scope: dict[str, Any], needed: KeyScope) -> Caller:
    scope["state"] = {"gate": gate, "caller": gate.identify(scope)}
    return admit(scope, needed)


@pytest.fixture
def gate() -> Gate:
    return Gate(parse_keys(KEYS))


@pytest.mark.parametrize(("key", "name", "held"), [(SEARCH, "web", 1), (WRITE, "loader", 2), (ADMIN, "root", 3)])
def test_each_scope_includes_the_ones_before_it(gate: Gate, key: str, name: str, held: int) -> None:
    for needed in KeyScope:
        if needed <= held:
            assert admitted(gate, request(key), needed) == Caller(name, KeyScope(held), has_key=True)
        else:
            with pytest.raises(InsufficientScope, match=f"scope {needed.name.lower()}; the key {name} has"):
                admitted(gate, request(key), needed)


@pytest.mark.parametrize(
    "sent",
    [
        *("", "wrong", SEARCH[:-1], SEARCH + "x", SEARCH.upper(), f"{SEARCH},{ADMIN}", "web"),
        *(
            b"",
            b"Bearer",
            b"Basic " + SEARCH.encode(),
            SEARCH.encode(),
            b"Bearer \xff\x00",
            b"Bearer" + SEARCH.encode(),
        ),
    ],
)
def test_wrong_keys_are_refused_even_where_anybody_may_search(sent: str | bytes) -> None:
    for allow_anonymous in (False, True):
        with pytest.raises(UnauthorizedError, match="not known"):
            Gate(parse_keys(KEYS), allow_anonymous=allow_anonymous).identify(request(sent))


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER  ", b"Bearer "])
def test_the_scheme_is_read_in_any_case(gate: Gate, scheme: bytes) -> None:
    assert gate.identify(request(scheme + SEARCH.encode())).name == "web"


def test_with_keys_nobody_comes_in_without_one(gate: Gate) -> None:
    with pytest.raises(UnauthorizedError, match="an API key is needed"):
        gate.identify(request())


def test_anonymous_clients_may_search_and_nothing_else() -> None:
    gate = Gate(parse_keys(KEYS), allow_anonymous=True)
    assert admitted(gate, request(client="192.0.2.7"), KeyScope.SEARCH).name == "192.0.2.7"
    for needed in (KeyScope.WRITE, KeyScope.ADMIN):
        with pytest.raises(UnauthorizedError, match=f"scope {needed.name.lower()} is needed"):
            admitted(gate, request(), needed)
        assert admitted(gate, request(ADMIN), needed).name == "root"


def test_without_any_key_this_machine_may_do_everything() -> None:
    for gate in (Gate(()), Gate((), allow_anonymous=True)):
        for needed in KeyScope:
            assert not admitted(gate, request(), needed).has_key
            assert not admitted(gate, request("whatever the client calls its key"), needed).has_key
        for away in (request(client="192.0.2.7"), request(x_forwarded_for="127.0.0.1"), request(client=None)):
            assert admitted(gate, away, KeyScope.SEARCH).scope is KeyScope.SEARCH
            with pytest.raises(ForbiddenError, match="set AAHR_API_KEYS"):
                admitted(gate, away, KeyScope.WRITE)


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        (None, "unknown"),
    ],
)
def test_who_a_client_without_a_key_is(client: str | None, counted: str) -> None:
    assert Gate(()).identify(request(client=client)).name == counted


def test_every_key_is_compared_in_constant_time(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its structure: digests of equal length, all of them compared, whichever one fits, and by nothing else."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("service.api.auth.hmac.compare_digest", compare)
    for key in (SEARCH, WRITE, ADMIN):
        compared.clear()
        gate.identify(request(key))
        assert [one for one, _ in compared] == [known.digest for known in parse_keys(KEYS)]
        assert {len(value) for pair in compared for value in pair} == {32}
    source = ast.parse(textwrap.dedent(inspect.getsource(Gate._holder)))
    loop = next(node for node in ast.walk(source) if isinstance(node, ast.For))
    assert not [node for node in ast.walk(loop) if isinstance(node, ast.Break | ast.Return | ast.Compare)]


def test_the_gate_shows_no_key(gate: Gate) -> None:
    for shown in (repr(gate), repr(gate.__dict__), repr(gate.identify(request(SEARCH)))):
        assert SEARCH not in shown


@pytest.mark.parametrize("path", [*CLOSED, "/webx/main.js", "/static-offline-docs", "/health/live/", ""])
def test_what_is_not_open(path: str) -> None:
    assert not is_open(path)


@pytest.mark.parametrize(
    ("settings", "starts"),
    [
        ({"host": "127.0.0.1"}, True),
        ({"host": "localhost"}, True),
        ({"host": "::1"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "::"}, False),
        ({"host": "192.0.2.1"}, False),
        ({"host": "box.lan"}, False),
        ({"host": "0.0.0.0", "allow_anonymous": True}, True),
        ({"host": "0.0.0.0", "api_keys": KEYS}, True),
        ({"host": "0.0.0.0", "admin_token": "secret"}, True),
    ],
)
def test_other_machines_come_in_with_keys_or_on_purpose(settings: dict[str, Any], starts: bool) -> None:
    chosen = Settings.model_validate({"index_dir": "index", **settings})
    if starts:
        assert Gate.of(chosen) is not None
    else:
        with pytest.raises(ConfigError, match=r"set AAHR_API_KEYS or .* or AAHR_ALLOW_ANONYMOUS=true"):
            Gate.of(chosen)


@pytest.fixture
def client(gallery: BuiltGallery) -> Iterator[TestClient]:
    """A client of a service with keys, which has none itself."""
    with open_client(make_app(gallery.index, api_keys=KEYS)) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_routes_need_a_key_unless_they_are_open(client: TestClient) -> None:
    for path in OPEN:
        assert client.get(path).status_code == 200
        assert client.get(path, headers=bearer("wrong")).status_code == 200
    for path in CLOSED:
        response = client.get(f"http://127.0.0.1:8000{path}")
        assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized"), path
        assert response.headers["www-authenticate"] == "Bearer"
    assert client.post("/search", json={"text": "red"}).status_code == 401


def test_a_key_opens_what_its_scope_allows(client: TestClient) -> None:
    for key in (SEARCH, WRITE, ADMIN):
        assert client.post("/search", json={"text": "red"}, headers=bearer(key)).status_code == 200
        assert client.get("/info", headers=bearer(key)).status_code == 200
    for key in (SEARCH, WRITE):
        response = client.post("/admin/reload", headers=bearer(key))
        assert (response.status_code, response.json()["error"]["code"]) == (403, "insufficient_scope")
        assert "scope admin" in response.json()["error"]["message"]
    assert client.post("/admin/reload", headers=bearer(ADMIN)).status_code == 200


def test_no_answer_and_no_log_shows_a_key(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for key in (SEARCH, ADMIN, "wrong-key-0123456789"):
        for path in ("/info", "/nothing", "/openapi.json"):
            assert key not in client.get(path, headers=bearer(key)).text
        assert key not in client.post("/admin/reload", headers=bearer(key)).text
        assert key not in caplog.text


def test_a_key_is_not_taken_from_the_url(client: TestClient) -> None:
    assert client.get("/info", params={"api_key": ADMIN, "token": ADMIN}).status_code == 401
    assert client.get(f"http://user:{ADMIN}@127.0.0.1:8000/info").status_code == 401
