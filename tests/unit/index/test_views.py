"""Galleries whose images are averages of views; the second one here is one that the model of colours tells apart."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.collection.local import LocalCollection
from index.items import image_item_id
from index.rebuild import Embedding, SourceChoice, change, rebuild
from model.preprocess import decode_image, prepare_image
from model.runtime import Runtime
from model.views import Floats, averaged
from tests.galleries import BuiltGallery, build_gallery, image_bytes, open_index, write_image
from tests.unit.service.conftest import make_app, open_client


def darker(pixels: Floats, views: int) -> list[Floats]:
    return [pixels, pixels * np.float32(0.5)][:views]


@pytest.fixture(autouse=True)
def _second_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.embedding.encoder.views_of", darker)
    monkeypatch.setattr("service.core.encoder.views_of", darker)


@pytest.fixture
def gallery(tmp_path: Path) -> BuiltGallery:
    """Of one view, then of two: what the first knows must not be used."""
    gallery = build_gallery(tmp_path)
    publish(gallery, 2)
    return gallery


def publish(gallery: BuiltGallery, views: int) -> None:
    choice = SourceChoice(images=str(gallery.images), captions=gallery.captions)
    rebuild(gallery.model, gallery.index, choice, embedding=Embedding(views=views))


def expected(gallery: BuiltGallery, file: Path, views: int) -> NDArray[np.float32]:
    with Runtime.load(gallery.model, workers=1) as runtime:
        pixels = prepare_image(decode_image(file), runtime.image_preprocessing)
        return averaged([runtime.encode_pixels(view[None], None)[0] for view in darker(pixels, views)])


def check(gallery: BuiltGallery, collection: LocalCollection, uri: str, views: int) -> None:
    found = collection.embedding(image_item_id(uri))
    np.testing.assert_allclose(found, expected(gallery, gallery.images / uri, views), atol=1e-5)


def test_images_are_averages_and_an_index_of_one_view_gives_none(gallery: BuiltGallery) -> None:
    collection = open_index(gallery.index)
    assert collection.model.views == 2
    check(gallery, collection, "red.jpg", 2)
    plain = expected(gallery, gallery.images / "red.jpg", 1)
    assert np.abs(plain - collection.embedding(image_item_id("red.jpg"))).max() > 0.01
    publish(gallery, 1)
    check(gallery, open_index(gallery.index), "red.jpg", 1)


def test_what_is_put_in_later_has_as_many(gallery: BuiltGallery, tmp_path: Path) -> None:
    write_image(gallery.images / "magenta.jpg", "magenta")
    change(gallery.index, SourceChoice(images=str(gallery.images / "mag*.jpg")), replace=False)
    check(gallery, open_index(gallery.index), "magenta.jpg", 2)
    sent = image_bytes("cyan")
    (tmp_path / "cyan.jpg").write_bytes(sent)
    with open_client(make_app(gallery.index)) as client:
        response = client.post("/items", files={"image": ("cyan.jpg", sent, "image/jpeg")}, data={"id": "cyan"})
        assert response.status_code in (200, 201), response.text
    np.testing.assert_allclose(
        open_index(gallery.index).embedding("cyan"), expected(gallery, tmp_path / "cyan.jpg", 2), atol=1e-5
    )
