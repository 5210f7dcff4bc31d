"""Keys: equal for replicas of one index, different for whatever gives other answers."""

from pathlib import Path

from pydantic import Field

from service.api.schemas import SearchResult
from service.cache.keys import key_prefix, shape_digest
from tests.galleries import build_gallery, write_image
from tests.searching import opened


def test_model_index_and_shape_are_in_the_prefix() -> None:
    prefix = key_prefix("shape", "model", "index")
    assert prefix == key_prefix("shape", "model", "index")
    others = {key_prefix("s", "model", "index"), key_prefix("shape", "m", "index"), key_prefix("shape", "model", "i")}
    assert len({prefix, *others}) == 4


def test_another_shape_of_results_has_another_digest() -> None:
    class OtherResult(SearchResult):
        more: int = Field(default=0)

    digests = {shape_digest(kind.model_json_schema(mode="serialization")) for kind in (SearchResult, OtherResult)}
    assert len(digests) == 2
    assert {len(digest) for digest in digests} == {16}


def test_replicas_share_keys_wherever_the_index_is_mounted(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path / "a")
    keys = []
    for place in ("one", "elsewhere"):
        moved = tmp_path / place / "index"
        moved.parent.mkdir()
        gallery.index.rename(moved)
        with opened(moved, gallery.model) as served:
            keys.append(served.generation.key)
        moved.rename(gallery.index)
    assert keys[0] == keys[1]


def test_a_changed_gallery_has_other_keys(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with opened(gallery.index) as served:
        before = served.generation.key
    write_image(gallery.images / "cyan.jpg", "cyan")
    gallery.publish()
    with opened(gallery.index) as served:
        assert served.generation.key != before
