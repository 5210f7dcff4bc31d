"""GET /metrics, and what the whole application reports there."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from service.api.routes import admin, health, info, items, metrics, page, search
from service.core.budget import Workers
from service.obs.context import RequestContext, current_request, current_request_id
from service.obs.timing import Stopwatch
from tests.galleries import BuiltGallery, build_gallery
from tests.unit.service.conftest import make_app, open_client, wait_until_ready


@pytest.fixture
def fresh(gallery: BuiltGallery) -> Iterator[TestClient]:
    """A client of an application that has answered nothing yet."""
    with open_client(make_app(gallery.index), raise_server_exceptions=False) as client:
        yield client


def test_it_is_prometheus_text(client: TestClient) -> None:
    response = client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.text.endswith("\n")


def test_a_scrape_of_a_fresh_server_shows_every_route_with_zero(fresh: TestClient) -> None:
    lines = fresh.get("/metrics").text.splitlines()
    routers = (search, items, info, health, metrics, admin, page)
    routes = [route for part in routers for route in part.router.routes]
    assert len(routes) > 10
    for route in routes:
        assert isinstance(route, APIRoute)
        for method in route.methods:
            labels = f'method="{method}",route="{route.path}",status="200"'
            assert f"aahr_http_requests_total{{{labels}}} 0.0" in lines
    assert 'aahr_stage_duration_seconds_count{stage="encode"} 0.0' in lines


def test_the_generation_is_named_from_the_start(fresh: TestClient) -> None:
    told = fresh.get("/info").json()
    labels = f'index_version="{told["index"]["version"]}",model_id="{told["model"]["model_id"]}"'
    assert f"aahr_generation_info{{{labels}}} 1.0" in fresh.get("/metrics").text.splitlines()


def test_a_search_is_counted_with_its_stages(client: TestClient) -> None:
    client.post("/search", json={"text": "metrics"})
    client.get("/items/img_of_nobody")
    client.get("/openapi.json")
    lines = client.get("/metrics").text.splitlines()
    assert 'aahr_http_requests_total{method="POST",route="/search",status="200"} 1.0' in lines
    assert 'aahr_http_requests_total{method="GET",route="/items/{id}",status="404"} 1.0' in lines
    assert 'aahr_http_requests_total{method="GET",route="/openapi.json",status="200"} 1.0' in lines
    assert 'aahr_stage_duration_seconds_count{stage="search"} 1.0' in lines
    # The scrape itself.
    assert "aahr_http_requests_in_flight 1.0" in lines


@pytest.mark.parametrize(("path", "route"), [("/info", "/info"), ("/items/img_0", "unmatched")])
def test_what_is_refused_before_it_is_routed_is_counted(client: TestClient, path: str, route: str) -> None:
    """A path with a parameter in it has no template yet."""
    assert client.get(path, headers={"Host": "evil.example"}).status_code == 400
    lines = client.get("/metrics").text.splitlines()
    assert f'aahr_http_requests_total{{method="GET",route="{route}",status="400"}} 1.0' in lines


def test_reloads_are_counted_and_name_the_new_version(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with open_client(make_app(gallery.index), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        gallery.publish(captions=False)
        new = client.post("/admin/reload").json()["new"]["version"]
        (gallery.index / "CURRENT").write_text("nonsense")
        assert client.post("/admin/reload").status_code == 409
        lines = client.get("/metrics").text.splitlines()
    assert "aahr_generation_swaps_total 1.0" in lines
    assert "aahr_generation_refusals_total 1.0" in lines
    (served,) = [line for line in lines if line.startswith("aahr_generation_info{")]
    assert served.startswith(f'aahr_generation_info{{index_version="{new}"')
    assert served.endswith(" 1.0")


def test_an_unexpected_failure_has_an_id_too(gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("private detail")

    monkeypatch.setattr("service.api.routes.info.index_ref", fail)
    with open_client(make_app(gallery.index), raise_server_exceptions=False) as client:
        response = client.get("/info", headers={"X-Request-Id": "mine"})
        assert response.status_code == 500
        assert response.headers.get_list("x-request-id") == ["mine"]
        lines = client.get("/metrics").text.splitlines()
    assert 'aahr_http_requests_total{method="GET",route="/info",status="500"} 1.0' in lines


@pytest.mark.parametrize(("settings", "shown"), [({"log_format": "json"}, 1), ({}, 0), ({"access_log": True}, 1)])
def test_requests_are_logged_where_the_settings_say(
    gallery: BuiltGallery, caplog: pytest.LogCaptureFixture, settings: dict[str, object], shown: int
) -> None:
    with caplog.at_level(logging.INFO, "service"), open_client(make_app(gallery.index, **settings)) as client:
        client.post("/search", content=json.dumps({"nothing": "of this"}))
    lines = [record for record in caplog.records if record.name == "service.access"]
    assert len(lines) == shown


def test_threads_of_the_pool_know_the_request() -> None:
    async def scenario() -> str | None:
        pool = Workers(1)
        current_request.set(RequestContext("mine"))
        try:
            return await pool.run(current_request_id, Stopwatch())
        finally:
            pool.close()

    assert asyncio.run(scenario()) == "mine"
