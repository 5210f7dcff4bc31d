"""No answer shows where files lie on the machine; the log does."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from index.items import image_item_id
from model.errors import ArtifactError
from model.runtime import Runtime
from service.api.errors import internal_message
from tests.artifacts import write_colour_model
from tests.galleries import BuiltGallery, build_gallery, image_bytes, newest_segment
from tests.unit.service.conftest import make_app, open_client, wait_until_ready

RED = image_item_id("red.jpg")


@pytest.fixture
def gallery(tmp_path: Path) -> BuiltGallery:
    """A gallery that may be damaged."""
    return build_gallery(tmp_path)


@pytest.fixture
def client(gallery: BuiltGallery) -> Iterator[TestClient]:
    with open_client(make_app(gallery.index), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def fail_with(directory: Path) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise ArtifactError(f"{directory / 'model' / 'image.onnx'} failed")

    return fail


def delete_image(gallery: BuiltGallery) -> None:
    (gallery.images / "red.jpg").unlink()


def delete_images(gallery: BuiltGallery) -> None:
    shutil.rmtree(gallery.images)


def damage_image(gallery: BuiltGallery) -> None:
    (gallery.images / "red.jpg").write_bytes(b"nothing")


def link_out(gallery: BuiltGallery) -> None:
    (gallery.images / "red.jpg").rename(gallery.images.parent / "red.jpg")
    (gallery.images / "red.jpg").symlink_to(gallery.images.parent / "red.jpg")


def make_a_folder(gallery: BuiltGallery) -> None:
    (gallery.images / "red.jpg").unlink()
    (gallery.images / "red.jpg").mkdir()


@pytest.mark.parametrize("damage", [delete_image, delete_images, damage_image, link_out, make_a_folder])
def test_images_that_are_gone(
    damage: Callable[[BuiltGallery], None],
    gallery: BuiltGallery,
    client: TestClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(gallery)
    response = client.get(f"/items/{RED}/image")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "item_not_found")
    assert RED in response.text
    assert str(tmp_path) not in response.text
    assert RED in caplog.text


@pytest.mark.parametrize("broken", ["encode_tokens", "encode_pixels"])
def test_an_encoder_that_fails(
    broken: str,
    client: TestClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in (broken, "warm_up"):
        monkeypatch.setattr(Runtime, name, fail_with(tmp_path))
    query = {"files": {"image": image_bytes("red")}} if broken == "encode_pixels" else {"json": {"text": "red"}}
    for response in (client.post("/search", **query), client.get("/health/ready")):  # type: ignore[arg-type]
        assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
        assert str(tmp_path) not in response.text
    assert str(tmp_path) in caplog.text


def test_an_encoder_that_never_warms_up(
    gallery: BuiltGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Runtime, "warm_up", fail_with(tmp_path))
    with open_client(make_app(gallery.index)) as client:
        response = client.get("/health/ready")
    assert response.status_code == 503
    assert str(tmp_path) not in response.text
    assert str(tmp_path) in caplog.text


def cut_vectors(gallery: BuiltGallery) -> None:
    (newest_segment(gallery) / "vectors.npy").write_bytes(b"nothing")


def lose_file(gallery: BuiltGallery) -> None:
    (newest_segment(gallery) / "metadata.arrow").unlink()


def lose_version(gallery: BuiltGallery) -> None:
    shutil.rmtree(gallery.index / "versions" / "000002")


def lose_index(gallery: BuiltGallery) -> None:
    shutil.rmtree(gallery.index)


def damage_manifest(gallery: BuiltGallery) -> None:
    (gallery.index / "versions" / "000002" / "manifest.json").write_text("{")


def damage_current(gallery: BuiltGallery) -> None:
    (gallery.index / "CURRENT").write_text("latest")


def other_model(gallery: BuiltGallery) -> None:
    """One that is gone."""
    write_colour_model(gallery.model.parent / "other", seed=1)
    gallery.publish(model=gallery.model.parent / "other")
    shutil.rmtree(gallery.model.parent / "other")


@pytest.mark.parametrize(
    "damage", [cut_vectors, lose_file, lose_version, lose_index, damage_manifest, damage_current, other_model]
)
def test_a_new_version_that_cannot_be_used(
    damage: Callable[[BuiltGallery], None],
    gallery: BuiltGallery,
    client: TestClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gallery.publish(captions=False)
    damage(gallery)
    response = client.post("/admin/reload")
    assert response.status_code == 409
    assert response.json()["error"]["code"].startswith("artifact_")
    assert str(tmp_path) not in response.text
    assert str(tmp_path) in caplog.text
    assert client.post("/search", json={"text": "red"}).json()["results"][0]["uri"] == "red.jpg"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/items/img_0"), ("GET", "/items/img_0/image"), ("GET", "/web/../settings.py"), ("PUT", "/info")],
)
def test_what_is_not_there(client: TestClient, tmp_path: Path, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code in (404, 405)
    assert str(tmp_path) not in response.text


def test_the_log_has_message_and_detail_in_one_line() -> None:
    assert internal_message(ArtifactError("a\nb", detail="c")) == "artifact_error: a b (c)"
