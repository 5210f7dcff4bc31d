"""/info and /health: what is served, and whether it can answer."""

import pytest
from starlette.testclient import TestClient

from model.runtime import Runtime
from tests.galleries import BuiltGallery
from tests.unit.service.conftest import make_app, open_client, wait_until_ready


def test_info(client: TestClient) -> None:
    info = client.get("/info").json()
    assert (info["model"]["dimension"], info["model"]["accepts"]) == (16, ["text", "image"])
    assert (info["index"]["version"], info["index"]["images"], info["index"]["texts"]) == ("000001", 4, 4)
    assert (info["limits"]["max_limit"], info["limits"]["max_body_bytes"]) == (1000, 20_000_000)
    assert info["cache"] == "memory"


def test_live_and_ready(client: TestClient) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok", "refused": None}


def test_broken_encoder_is_live_and_not_ready_until_it_works_again(
    gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_runtime: Runtime) -> None:
        raise RuntimeError("out of memory")

    with open_client(make_app(gallery.index)) as client:
        wait_until_ready(client)
        with monkeypatch.context() as broken:
            broken.setattr(Runtime, "warm_up", fail)
            client.app_state["resources"].generations.current.encoder.warm_up()
            response = client.get("/health/ready")
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "not_ready"
            assert "an encoder failed" in response.json()["error"]["message"]
            assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 200
