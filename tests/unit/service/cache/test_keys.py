"""Keys: equal for replicas of one index, different for whatever gives other answers."""

import json
from pathlib import Path

import pytest
from pydantic import Field

from service.api.schemas import SearchResult
from service.cache import keys
from service.cache.keys import key_prefix, shape_of_results
from service.core.engine import Engine
from tests.galleries import build_gallery, write_image


def test_model_index_and_shape_are_in_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = key_prefix("model", "index")
    assert prefix == key_prefix("model", "index")
    assert len({prefix, key_prefix("m", "index"), key_prefix("model", "i")}) == 3

    class OtherResult(SearchResult):
        more: int = Field(default=0)

    monkeypatch.setattr(keys, "SearchResult", OtherResult)
    assert key_prefix("model", "index") != prefix


def test_a_changed_shape_of_the_published_answer_changes_the_prefix() -> None:
    """The snapshot of the public surface and the shape in the keys move together."""
    snapshot = json.loads((Path(__file__).parents[1] / "openapi.json").read_text())
    published = snapshot["components"]["schemas"]
    schema = SearchResult.model_json_schema(mode="serialization")
    for name, field in schema["properties"].items():
        assert json.dumps(published["SearchAnswer"]["properties"][name]) == json.dumps(field).replace(
            "#/$defs/", "#/components/schemas/"
        )
    assert len(shape_of_results()) == 16


def test_replicas_share_keys_wherever_the_index_is_mounted(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path / "a")
    prefixes = []
    for place in ("one", "elsewhere"):
        moved = tmp_path / place / "index"
        moved.parent.mkdir()
        gallery.index.rename(moved)
        engine = Engine.load(moved, gallery.model, workers=1)
        prefixes.append(engine.served.key_prefix)
        engine.close()
        moved.rename(gallery.index)
    assert prefixes[0] == prefixes[1]


def test_a_changed_gallery_has_other_keys(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    engine = Engine.load(gallery.index, workers=1)
    before = engine.served.key_prefix
    write_image(gallery.images / "cyan.jpg", "cyan")
    gallery.publish()
    engine.reload()
    assert engine.served.key_prefix != before
    engine.close()
