"""Queries of every kind, from one generation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index.items import Modality, image_item_id
from model.artifact import load_model_artifact
from model.errors import ArtifactMismatch, ArtifactMissing, UnreadableImage
from service.core.errors import InvalidField
from service.core.query import Embedded, combined, unit_vector
from tests.artifacts import write_colour_model, write_first_format
from tests.galleries import BuiltGallery, build_gallery, image_bytes
from tests.searching import Opened, opened


@pytest.fixture
def served(gallery: BuiltGallery) -> Iterator[Opened]:
    with opened(gallery.index) as served:
        yield served


def test_text_finds_images(served: Opened) -> None:
    result = served.search(text="a green picture", limit=2)
    assert result.results[0].uri == "green.jpg"
    assert (len(result.results), result.query.target) == (2, Modality.IMAGE)


def test_an_image_of_the_gallery_finds_its_caption_and_itself(served: Opened, gallery: BuiltGallery) -> None:
    image = (gallery.images / "blue.jpg").read_bytes()
    assert served.search(image=image).results[0].caption == "a blue square"
    itself = served.search(image=image, target="image").results[0]
    assert (itself.uri, round(itself.score, 5)) == ("blue.jpg", 1.0)


def test_an_item_and_its_embedding_find_the_same(served: Opened) -> None:
    item = served.collection.item(image_item_id("red.jpg"))
    by_id = served.search(id=item.id, target="image")
    vector = (1e30 * served.collection.embedding(item.id).astype(np.float64)).tolist()
    by_vector = served.search(embedding=vector, target="image")
    assert by_id.results[0].id == item.id
    assert [hit.id for hit in by_id.results] == [hit.id for hit in by_vector.results]


def test_a_mix_leads_to_one_part_and_away_from_another(served: Opened) -> None:
    yellow = served.search(mix=[{"text": "red"}, {"text": "yellow", "weight": 1.5}], limit=1)
    assert yellow.results[0].uri == "more/yellow.jpg"
    away = served.search(mix=[{"text": "red"}, {"text": "yellow", "weight": -2}], limit=1)
    assert away.results[0].uri == "blue.jpg", "what is left of red once twice its way to yellow is taken off"
    assert (yellow.query.type, yellow.query.text) == ("mix", None)


def test_a_mix_of_image_and_text_searches_images(served: Opened) -> None:
    found = served.search(mix=[{"image": image_bytes("blue")}, {"text": "blue", "weight": 0.5}])
    assert (found.query.target, found.results[0].uri) == (Modality.IMAGE, "blue.jpg")
    assert served.search(mix=[{"image": image_bytes("blue")}]).query.target == Modality.TEXT


def test_parts_that_cancel_each_other_out_are_refused(served: Opened) -> None:
    with pytest.raises(InvalidField, match="cancel"):
        served.search(mix=[{"text": "red"}, {"text": "red", "weight": -1}])


def test_a_negative_part_alone_finds_what_is_least_like_it() -> None:
    part = Embedded(np.array([1, 0], np.float32), Modality.TEXT)
    assert combined([(-0.5, part)]).embedding.tolist() == [-1, 0]


def test_an_index_stays_that_of_its_model_in_either_format(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    write_first_format(load_model_artifact(gallery.model))
    with opened(gallery.index) as served:
        assert served.search(text="a green picture").results[0].uri == "green.jpg"


def test_pages_and_threshold(served: Opened) -> None:
    everything = served.search(text="red").results
    pages = [served.search(text="red", limit=1, offset=offset).results for offset in range(5)]
    assert [hit.id for page in pages for hit in page] == [hit.id for hit in everything]
    best = served.search(text="red", score_threshold=0.9).results
    assert [hit.uri for hit in best] == ["red.jpg"]


def test_truncated_text_is_noted(served: Opened) -> None:
    query = served.search(text="red " * 100).query
    assert query.truncated
    assert "cut off" in query.notes[0]
    assert not served.search(text="red").query.truncated


def test_without_captions_an_image_finds_images_and_says_so(tmp_path: Path) -> None:
    with opened(build_gallery(tmp_path, captions=False).index) as served:
        result = served.search(image=image_bytes("red"))
    assert result.results[0].uri == "red.jpg"
    assert result.query.target == Modality.IMAGE
    assert "no captions" in result.query.notes[0]


def test_damaged_image_leaves_the_encoder_ready(served: Opened) -> None:
    with pytest.raises(UnreadableImage):
        served.search(image=image_bytes("red")[:100])
    assert served.generation.encoder.failure is None
    assert served.search(text="red").results


def test_foreign_model_and_missing_index_are_refused_at_start(gallery: BuiltGallery, tmp_path: Path) -> None:
    write_colour_model(tmp_path / "other", seed=1)
    with pytest.raises(ArtifactMismatch), opened(gallery.index, tmp_path / "other"):
        pass
    with pytest.raises(ArtifactMissing), opened(tmp_path / "nothing"):
        pass


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0], [1.0, 2.0, 3.0], []])
def test_vectors_that_point_nowhere_or_do_not_fit(values: list[float]) -> None:
    with pytest.raises(InvalidField):
        unit_vector(values, 2)


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1.0, 1e200, 1.7e308])
def test_vectors_of_any_length_become_unit_vectors(scale: float) -> None:
    assert np.allclose(unit_vector([scale, -scale], 2), [0.5**0.5, -(0.5**0.5)])
