"""An application around the tiny model of colours, in this process."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.server import load_app
from service.settings import Settings
from tests.galleries import BuiltGallery, build_gallery

LOOPBACK = ("127.0.0.1", 50000)
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    """A gallery with captions; tests that publish versions build their own."""
    return build_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests does not affect them."""
    for name in [name for name in os.environ if name == "REDIS_URL" or name.upper().startswith("AAHR_")]:
        monkeypatch.delenv(name)


def make_app(index: Path, **settings: object) -> FastAPI:
    """The application on an index, with settings that differ from the defaults."""
    return load_app(Settings.model_validate({"index_dir": index, "threads": 2, "watch_s": 0, **settings}))


def open_client(
    app: FastAPI, *, client: tuple[str, int] = LOOPBACK, raise_server_exceptions: bool = True
) -> TestClient:
    """A client of the application on this machine, or on the one named."""
    return TestClient(app, ADDRESS, client=client, raise_server_exceptions=raise_server_exceptions)


def wait_until_ready(client: TestClient) -> None:
    """Both encoders are warmed after the start of the application."""
    deadline = time.monotonic() + 30
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline, client.get("/health/ready").text
        time.sleep(0.01)


@pytest.fixture
def client(gallery: BuiltGallery) -> Iterator[TestClient]:
    """A client on this machine; what would end as a 500 comes as one."""
    with open_client(make_app(gallery.index), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client
