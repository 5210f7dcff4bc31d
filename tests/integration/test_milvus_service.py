"""The service on a collection in Milvus: what changes over HTTP is searched at once, and there at the next start."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from index.rebuild import SourceChoice, rebuild
from service.server import load_app
from service.settings import read_settings
from tests.galleries import BuiltGallery, build_gallery, image_bytes
from tests.unit.index.collection.milvus_lite import served


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    gallery: BuiltGallery = build_gallery(tmp_path / "local")
    with served(tmp_path) as path:
        found = f"milvus:{path}"
        rebuild(gallery.model, found, SourceChoice(images=str(gallery.images), captions=gallery.captions))
        yield found


@contextmanager
def client_of(location: str) -> Iterator[TestClient]:
    app = load_app(read_settings(index_dir=location, watch_s=0))
    with TestClient(app, "http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client


def best(client: TestClient, text: str) -> str:
    answer = client.post("/search", json={"text": text, "limit": 1})
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["results"][0]["id"]
    return found


def test_items_are_stored_replaced_and_deleted(location: str) -> None:
    magenta = base64.b64encode(image_bytes("magenta")).decode()
    cyan = base64.b64encode(image_bytes("cyan")).decode()
    with client_of(location) as client:
        red = best(client, "a red square")
        stored = client.post("/items", json={"image": magenta, "id": "one", "payload": {"year": 2026}})
        assert stored.status_code == 201, stored.text
        assert stored.json()["index"]["version"] != client.post("/admin/rollback").json()["new"]["version"]
        assert client.get("/items/one").status_code == 404
        batch = client.post("/items/batch", json={"items": [{"image": magenta, "id": "one"}, {"image": "no"}]}).json()
        assert [item["status"] for item in batch["items"]] == [201, 422]
        assert best(client, "a magenta square") == "one"
        assert client.post("/items", json={"image": cyan, "id": "one"}).status_code == 200
        assert best(client, "a cyan square") == "one"
        assert client.get("/items/one/image").content == image_bytes("cyan")
        assert client.delete(f"/items/{red}").status_code == 200
        assert client.get(f"/items/{red}").status_code == 404
        assert client.delete(f"/items/{red}").status_code == 404
    with client_of(location) as client:
        assert best(client, "a cyan square") == "one"
        assert client.get(f"/items/{red}").status_code == 404
