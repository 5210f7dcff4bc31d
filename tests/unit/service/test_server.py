"""What is found before the port is opened."""

import socket
from pathlib import Path

import pytest

from model.errors import AahrError, ArtifactMismatch, ArtifactMissing, ConfigError
from service.server import open_port, serve
from service.settings import Settings
from tests.artifacts import write_colour_model
from tests.galleries import BuiltGallery


def test_port_that_is_taken_is_a_config_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(index_dir=Path("index"), port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="choose another --host or --port"):
            open_port(settings)


def test_connections_do_not_wait_for_acknowledgements() -> None:
    with (
        open_port(Settings(index_dir=Path("index"), port=0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 300])
def test_host_that_is_not_here_is_a_config_error(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        open_port(Settings(index_dir=Path("index"), host=host, port=0))


def test_missing_and_foreign_artifacts_are_refused_before_the_port_is_opened(
    gallery: BuiltGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_settings: Settings) -> socket.socket:
        raise AssertionError("the port was opened")

    monkeypatch.setattr("service.server.open_port", opened)
    write_colour_model(tmp_path / "other", seed=1)
    refused: list[tuple[Path, Path | None, type[AahrError]]] = [
        (tmp_path / "nothing", None, ArtifactMissing),
        (gallery.index, tmp_path / "nothing", ArtifactMissing),
        (gallery.index, tmp_path / "other", ArtifactMismatch),
    ]
    for index, model, error in refused:
        with pytest.raises(error) as caught:
            serve(index, model)
        assert "\n" not in str(caught.value)


def test_bad_redis_url_is_refused_at_start(gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://cache")
    with pytest.raises(ConfigError, match="REDIS_URL"):
        serve(gallery.index)


def test_other_machines_are_not_let_in_by_accident(gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(_settings: Settings) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("service.server.make_loader", loaded)
    with pytest.raises(ConfigError, match=r"the address 0\.0\.0\.0 can be reached from other machines"):
        serve(gallery.index, host="0.0.0.0", port=0)
