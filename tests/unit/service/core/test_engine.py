"""The engine: queries of every kind, readiness, and a version that is swapped."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.items import Modality, image_item_id
from model.artifact import load_model_artifact
from model.errors import ArtifactMismatch, ArtifactMissing, UnreadableImage
from model.preprocess import Tokens
from model.runtime import Runtime
from service.api.errors import InvalidField, NotReadyError
from service.api.schemas import SearchRequest, SearchResult
from service.core.engine import Engine, unit_vector
from service.obs.timing import Stopwatch
from tests.artifacts import write_colour_model, write_first_format
from tests.galleries import BuiltGallery, build_gallery, image_bytes


@pytest.fixture
def engine(gallery: BuiltGallery) -> Iterator[Engine]:
    engine = Engine.load(gallery.index, workers=1)
    yield engine
    engine.close()


def search(engine: Engine, **fields: object) -> SearchResult:
    return engine.search(SearchRequest.model_validate(fields), engine.index, Stopwatch())


def test_text_finds_images(engine: Engine) -> None:
    result = search(engine, text="a green picture", limit=2)
    assert result.results[0].uri == "green.jpg"
    assert (len(result.results), result.query.target) == (2, Modality.IMAGE)


def test_an_image_of_the_gallery_finds_its_caption_and_itself(engine: Engine, gallery: BuiltGallery) -> None:
    image = (gallery.images / "blue.jpg").read_bytes()
    assert search(engine, image=image).results[0].caption == "a blue square"
    itself = search(engine, image=image, target="image").results[0]
    assert (itself.uri, round(itself.score, 5)) == ("blue.jpg", 1.0)


def test_an_item_and_its_embedding_find_the_same(engine: Engine) -> None:
    item = engine.index.item(image_item_id("red.jpg"))
    by_id = search(engine, id=item.id, target="image")
    vector = (1e30 * engine.index.embedding(item.id).astype(np.float64)).tolist()
    by_vector = search(engine, embedding=vector, target="image")
    assert by_id.results[0].id == item.id
    assert [hit.id for hit in by_id.results] == [hit.id for hit in by_vector.results]


def test_an_index_stays_that_of_its_model_in_either_format(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    write_first_format(load_model_artifact(gallery.model))
    engine = Engine.load(gallery.index, workers=1)
    assert search(engine, text="a green picture").results[0].uri == "green.jpg"
    engine.close()


def test_pages_and_threshold(engine: Engine) -> None:
    everything = search(engine, text="red").results
    pages = [search(engine, text="red", limit=1, offset=offset).results for offset in range(5)]
    assert [hit.id for page in pages for hit in page] == [hit.id for hit in everything]
    best = search(engine, text="red", score_threshold=0.9).results
    assert [hit.uri for hit in best] == ["red.jpg"]


def test_truncated_text_is_noted(engine: Engine) -> None:
    query = search(engine, text="red " * 100).query
    assert query.truncated
    assert "cut off" in query.notes[0]
    assert not search(engine, text="red").query.truncated


def test_without_captions_an_image_finds_images_and_says_so(tmp_path: Path) -> None:
    engine = Engine.load(build_gallery(tmp_path, captions=False).index, workers=1)
    result = search(engine, image=image_bytes("red"))
    assert result.results[0].uri == "red.jpg"
    assert result.query.target == Modality.IMAGE
    assert "no captions" in result.query.notes[0]
    engine.close()


def test_damaged_image_leaves_the_engine_ready(engine: Engine) -> None:
    engine.warm_up()
    with pytest.raises(UnreadableImage):
        search(engine, image=image_bytes("red")[:100])
    engine.check_ready()
    assert search(engine, text="red").results


def test_ready_only_when_warm_and_again_after_a_failure(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotReadyError, match="still warming up"):
        engine.check_ready()
    engine.warm_up()
    engine.check_ready()

    def fail(_runtime: Runtime, _tokens: Tokens) -> None:
        raise RuntimeError("the device is gone")

    with monkeypatch.context() as broken:
        broken.setattr(Runtime, "encode_tokens", fail)
        with pytest.raises(NotReadyError, match="an encoder failed"):
            search(engine, text="red")
        engine.warm_up()
        with pytest.raises(NotReadyError, match="an encoder failed"):
            engine.check_ready()
    assert caplog.text.count("RuntimeError: the device is gone") == 2
    engine.warm_up()
    engine.check_ready()


def test_reload_takes_the_new_version_and_frees_the_old(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    engine = Engine.load(gallery.index, workers=1)
    Image.new("RGB", (8, 8), "magenta").save(gallery.images / "magenta.jpg")
    gallery.publish()
    held = engine.index
    old, new = engine.reload()
    assert (old.version, new.version) == ("000001", "000002")
    assert search(engine, text="magenta").results[0].uri == "magenta.jpg"
    request = SearchRequest(text="magenta")
    assert engine.search(request, held, Stopwatch()).results[0].uri != "magenta.jpg"
    freed = weakref.ref(held)
    del held, old
    gc.collect()
    assert freed() is None
    engine.close()


def test_index_of_another_model_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    engine = Engine.load(gallery.index, workers=1)
    write_colour_model(tmp_path / "other", seed=1)
    gallery.publish(model=tmp_path / "other")
    with pytest.raises(ArtifactMismatch):
        engine.reload()
    assert engine.index.version == "000001"
    assert search(engine, text="red").results[0].uri == "red.jpg"
    engine.close()


def test_foreign_model_and_missing_index_are_refused_at_start(gallery: BuiltGallery, tmp_path: Path) -> None:
    write_colour_model(tmp_path / "other", seed=1)
    with pytest.raises(ArtifactMismatch):
        Engine.load(gallery.index, tmp_path / "other")
    with pytest.raises(ArtifactMissing):
        Engine.load(tmp_path / "nothing")


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0], [1.0, 2.0, 3.0], []])
def test_vectors_that_point_nowhere_or_do_not_fit(values: list[float]) -> None:
    with pytest.raises(InvalidField):
        unit_vector(values, 2)


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1.0, 1e200, 1.7e308])
def test_vectors_of_any_length_become_unit_vectors(scale: float) -> None:
    assert np.allclose(unit_vector([scale, -scale], 2), [0.5**0.5, -(0.5**0.5)])
