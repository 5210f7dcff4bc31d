"""What every answer tells browsers, whatever its route and status."""

import pytest
from starlette.testclient import TestClient

from service.api.deps import get_resources
from tests.galleries import BuiltGallery
from tests.unit.service.conftest import make_app, open_client

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/info", {}, 200),
        ("GET", "/docs", {}, 200),
        ("GET", "/health/live", {}, 200),
        ("GET", "/static-offline-docs/swagger-ui.css", {}, 200),
        ("GET", "/nothing", {}, 404),
        ("DELETE", "/search", {}, 405),
        ("GET", "/info", {"Host": "evil.example"}, 400),
        ("POST", "/search", {"Origin": "https://evil.example"}, 403),
        ("POST", "/search", {}, 415),
    ],
)
def test_every_answer_has_them_once(
    client: TestClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    response = client.request(method, path, headers=headers)
    assert response.status_code == status
    for name, value in ALWAYS.items():
        assert response.headers.get_list(name) == [value]
    assert len(response.headers.get_list("content-security-policy")) == 1
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert ("no-store" in response.headers.get("cache-control", "")) == (method != "GET")


def test_an_unexpected_failure_has_them_too(gallery: BuiltGallery) -> None:
    def fail() -> None:
        raise RuntimeError("private detail")

    app = make_app(gallery.index)
    app.dependency_overrides[get_resources] = fail
    with open_client(app, raise_server_exceptions=False) as client:
        response = client.get("/info")
    assert response.status_code == 500
    assert {name: response.headers[name] for name in ALWAYS} == ALWAYS


def test_a_route_s_own_headers_stay(client: TestClient) -> None:
    assert "script-src 'self'" in client.get("/").headers["content-security-policy"]
    assert client.get("/").headers["cache-control"] == "no-cache"


def test_the_documentation_may_start_itself_and_load_what_it_links(client: TestClient) -> None:
    response = client.get("/docs")
    assert "<script>" in response.text
    rules = dict(rule.strip().split(" ", 1) for rule in response.headers["content-security-policy"].split(";"))
    assert rules["script-src"] == rules["style-src"] == "'self' 'unsafe-inline'"
    assert rules["connect-src"] == "'self'"
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    for path in ("/info", "/openapi.json", "/items/img_0"):
        assert "unsafe-inline" not in client.get(path).headers["content-security-policy"]
