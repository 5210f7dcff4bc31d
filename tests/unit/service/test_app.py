"""The application as a whole: its public document, its error shape, and what importing it does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.api.deps import get_resources
from tests.galleries import BuiltGallery
from tests.unit.service.conftest import make_app, open_client

SNAPSHOT = Path(__file__).with_name("openapi.json")


def test_openapi_document_is_the_published_one(client: TestClient) -> None:
    """A change of the public surface is meant: UPDATE_SNAPSHOTS=1 writes the new one."""
    document = json.dumps(client.get("/openapi.json").json(), indent=2, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(document)
    assert document == SNAPSHOT.read_text()


def test_public_texts_say_image_everywhere(client: TestClient) -> None:
    for path in ("/openapi.json", "/", "/web/main.js"):
        assert not re.search("picture|photo", client.get(path).text, re.IGNORECASE)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/search", 405, "method_not_allowed"),
        ("PUT", "/items/img_0", 405, "method_not_allowed"),
        ("GET", "/admin/reload", 405, "method_not_allowed"),
    ],
)
def test_unknown_routes_and_methods_have_the_error_shape(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert set(response.json()) == {"error"}


def test_unexpected_exception_has_the_error_shape_and_no_traceback(gallery: BuiltGallery) -> None:
    def fail() -> None:
        raise RuntimeError("private detail")

    app = make_app(gallery.index)
    app.dependency_overrides[get_resources] = fail
    with open_client(app, raise_server_exceptions=False) as client:
        response = client.get("/info")
        assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
        assert "private detail" not in response.text
        app.dependency_overrides.clear()
        assert client.get("/info").status_code == 200


def test_importing_the_service_reads_no_environment_and_no_model() -> None:
    environment = {**os.environ, "AAHR_PORT": "no number", "REDIS_URL": "no url", "AAHR_INDEX_DIR": "/nowhere"}
    code = "import service.server, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
