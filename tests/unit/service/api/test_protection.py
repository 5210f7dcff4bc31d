"""Pages of other origins that are allowed, and the limits as a whole application shows them."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.galleries import BuiltGallery
from tests.unit.service.conftest import make_app, open_client

ORIGIN = "https://app.example.org"
KEY = "search-key-0123456789"
BEARER = {"Authorization": f"Bearer {KEY}"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}


@pytest.fixture
def client(gallery: BuiltGallery) -> Iterator[TestClient]:
    settings = {"allowed_origins": f"{ORIGIN}, http://localhost:3000", "api_keys": f"web:search:{KEY}"}
    with open_client(make_app(gallery.index, **settings)) as client:
        yield client


@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:3000"])
def test_an_allowed_origin_is_answered_as_itself(client: TestClient, origin: str) -> None:
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site", **BEARER}
    response = client.post("/search", json={"text": "red"}, headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in response.headers
    assert "Origin" in response.headers["vary"]
    assert response.headers["cross-origin-resource-policy"] == "cross-origin"


def test_a_preflight_needs_no_key(client: TestClient) -> None:
    response = client.options("/search", headers={"Origin": ORIGIN, **PREFLIGHT})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "Authorization" in response.headers["access-control-allow-headers"]


def test_a_page_learns_why_it_is_refused(client: TestClient) -> None:
    response = client.post("/search", json={"text": "red"}, headers={"Origin": ORIGIN})
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://app.example.org",
        f"{ORIGIN}:444",
        f"{ORIGIN}.evil.example",
        "null",
        "*",
        ORIGIN.upper(),
    ],
)
def test_other_origins_stay_out(client: TestClient, origin: str) -> None:
    refused = client.post("/search", json={"text": "red"}, headers={"Origin": origin, **BEARER})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "cross_origin")
    preflight = client.options("/search", headers={"Origin": origin, **PREFLIGHT})
    assert preflight.status_code == 400
    read = client.get("/info", headers={"Origin": origin, **BEARER})
    for response in (refused, preflight, read):
        assert "access-control-allow-origin" not in response.headers


def test_a_rate_is_counted_for_each_client_and_health_is_not(gallery: BuiltGallery) -> None:
    keys = f"a:search:{KEY}-a,b:search:{KEY}-b"
    with open_client(make_app(gallery.index, rate_limit="2/hour", api_keys=keys, allow_anonymous=True)) as client:
        for headers in ({}, {"Authorization": f"Bearer {KEY}-a"}, {"Authorization": f"Bearer {KEY}-b"}):
            statuses = [client.get("/info", headers=headers).status_code for _ in range(3)]
            assert statuses == [200, 200, 429]
            response = client.get("/info", headers=headers)
            assert response.json()["error"]["code"] == "rate_limited"
            assert 1 <= int(response.headers["retry-after"]) <= 3600
            assert response.headers["x-ratelimit-limit"] == "2"
            assert response.headers["x-ratelimit-remaining"] == "0"
            assert response.headers["x-ratelimit-reset"] == response.headers["retry-after"]
        assert [client.get("/health/live").status_code for _ in range(5)] == [200] * 5
