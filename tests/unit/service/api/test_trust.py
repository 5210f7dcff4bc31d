"""What a foreign web page can make a browser send is refused, and what only seems to come from this machine."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.trust import HostNames, host_name
from service.settings import Settings
from tests.galleries import BuiltGallery, image_bytes
from tests.unit.service.conftest import make_app, open_client

FOREIGN = {"Origin": "https://evil.example"}
JSON: dict[str, Any] = {"json": {"text": "red"}}
FORM: dict[str, Any] = {"files": {"image": image_bytes("red")}}


def outcome(client: TestClient, method: str, path: str, **request: Any) -> tuple[int, str | None]:
    """The status, and the code of an error."""
    response = client.request(method, path, **request)
    is_json = response.headers.get("content-type") == "application/json"
    return response.status_code, response.json().get("error", {}).get("code") if is_json else None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000"])
def test_loopback_is_always_served(client: TestClient, host: str) -> None:
    for path in ("/info", "/", "/docs"):
        assert outcome(client, "GET", path, headers={"Host": host}) == (200, None)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", ""),
        *("localhost:80:80", "x@localhost", "localhost/x", "[:::]", "[localhost]", "\x00", "a b", "localhost:80@evil"),
    ],
)
def test_foreign_hosts_are_refused(client: TestClient, host: str) -> None:
    for path in ("/info", "/", "/items/img_0/image", "/health/live", "/openapi.json"):
        assert outcome(client, "GET", path, headers={"Host": host}) == (400, "untrusted_host")
    assert outcome(client, "GET", "/info") == (200, None)


@pytest.mark.parametrize(
    ("bound", "allowed", "host", "served"),
    [
        ("127.0.0.1", "search.example", "search.example", True),
        ("127.0.0.1", " Search.Example , other.example,", "other.example", True),
        ("127.0.0.1", "search.example", "www.search.example", False),
        ("127.0.0.1", "search.example", "localhost", True),
        ("127.0.0.1", "*", "evil.example", True),
        ("192.0.2.1", "", "192.0.2.1", True),
        ("192.0.2.1", "", "127.0.0.1", True),
        ("192.0.2.1", "", "192.0.2.2", False),
        ("Box.lan", "", "box.lan", True),
        ("0.0.0.0", "", "192.0.2.2", True),
        ("0.0.0.0", "", "2001:db8::1", True),
        ("0.0.0.0", "", "evil.example", False),
        ("0.0.0.0", "api", "api", True),
        ("::", "", "192.0.2.2", True),
    ],
)
def test_names_by_setting_and_address(bound: str, allowed: str, host: str, served: bool) -> None:
    settings = Settings.model_validate({"index_dir": Path("index"), "host": bound, "allowed_hosts": allowed})
    assert HostNames(settings).include(host) == served


def test_who_listens_everywhere_goes_by_the_machine_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Box")
    settings = Settings.model_validate({"index_dir": Path("index"), "host": "0.0.0.0"})
    assert HostNames(settings).include("box")


@pytest.mark.parametrize(
    "headers",
    [
        FOREIGN,
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "http://127.0.0.1:8000.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
    ],
)
def test_pages_of_other_origins_can_make_nothing_happen(client: TestClient, headers: dict[str, str]) -> None:
    refused = (403, "cross_origin")
    assert outcome(client, "POST", "/admin/reload", headers=headers) == refused
    assert outcome(client, "POST", "/search", headers=headers, **FORM) == refused
    assert outcome(client, "POST", "/search", headers=headers, **JSON) == refused
    assert outcome(client, "DELETE", "/items/img_0", headers=headers) == refused
    assert outcome(client, "GET", "/info", headers=headers) == (200, None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://search.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_our_own_page_and_clients_other_than_browsers_may(client: TestClient, headers: dict[str, str]) -> None:
    assert outcome(client, "POST", "/admin/reload", headers=headers) == (200, None)
    assert outcome(client, "POST", "/search", headers=headers, **FORM) == (200, None)


def test_a_named_host_may_be_the_origin_behind_a_proxy(gallery: BuiltGallery) -> None:
    app = make_app(gallery.index, allowed_hosts="search.example")
    with open_client(app) as client:
        for headers in ({"Origin": "https://search.example"}, {"Origin": "https://search.example:444"}):
            assert outcome(client, "POST", "/search", headers=headers, **JSON) == (200, None)
        assert outcome(client, "POST", "/search", headers=FOREIGN, **JSON) == (403, "cross_origin")


def test_any_host_does_not_mean_any_origin(gallery: BuiltGallery) -> None:
    with open_client(make_app(gallery.index, allowed_hosts="*")) as client:
        assert outcome(client, "GET", "/info", headers={"Host": "any.example"}) == (200, None)
        assert outcome(client, "POST", "/search", headers=FOREIGN, **JSON) == (403, "cross_origin")


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"])
def test_behind_a_proxy_loopback_is_not_trusted(client: TestClient, name: str) -> None:
    headers = {name: "127.0.0.1"}
    assert outcome(client, "POST", "/admin/reload", headers=headers) == (403, "forbidden")
    assert outcome(client, "POST", "/search", headers=headers, **JSON) == (200, None)


def test_a_name_other_than_loopback_is_not_trusted(gallery: BuiltGallery) -> None:
    with open_client(make_app(gallery.index, allowed_hosts="search.example")) as client:
        headers = {"Host": "search.example"}
        assert outcome(client, "POST", "/admin/reload", headers=headers) == (403, "forbidden")


def test_a_token_is_trusted_behind_a_proxy(gallery: BuiltGallery) -> None:
    with open_client(make_app(gallery.index, admin_token="secret")) as client:
        headers = {"X-Forwarded-For": "192.0.2.7", "Authorization": "Bearer secret"}
        assert outcome(client, "POST", "/admin/reload", headers=headers) == (200, None)


@pytest.mark.parametrize(
    ("header", "name"),
    [("a.b:1", "a.b"), ("[::1]:80", "::1"), ("A", "a"), ("a:", "a"), ("::1", None), ("a:b", None), (":80", None)],
)
def test_host_name(header: str, name: str | None) -> None:
    assert host_name(header) == name
