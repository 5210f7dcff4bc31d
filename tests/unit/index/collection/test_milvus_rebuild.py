"""An index in Milvus is rebuilt and changed by the same functions as one in a directory."""

from pathlib import Path

import pytest

from index.collection import Collection, SearchOptions
from index.collection.local import LocalStore
from index.collection.open import open_store
from index.embedding import batches
from index.filters import parse_filter
from index.items import Modality
from index.rebuild import SourceChoice, change, rebuild
from tests.galleries import build_gallery, write_image
from tests.unit.index.collection.milvus_lite import served


def test_rebuilt_changed_and_searched_as_a_directory_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    gallery = build_gallery(tmp_path / "local")
    decoded = []
    decode = batches.decode_image
    monkeypatch.setattr(batches, "decode_image", lambda *args, **kwargs: decoded.append(0) or decode(*args, **kwargs))
    choice = SourceChoice(images=str(gallery.images), captions=gallery.captions)
    with served(tmp_path) as path:
        location = f"milvus:{path}"
        rebuild(gallery.model, location, choice)
        assert len(decoded) == 4
        _compare(open_store(location).open(), LocalStore(gallery.index).open())

        write_image(gallery.images / "cyan.jpg", "cyan")
        rebuild(gallery.model, location, choice)
        assert len(decoded) == 5  # The others are known.
        gallery.publish()
        _compare(open_store(location).open(), LocalStore(gallery.index).open())

        write_image(gallery.images / "later" / "pink.jpg", "pink")
        for store in (location, gallery.index):
            change(store, SourceChoice(images=str(gallery.images / "later")), replace=True)
        opened = open_store(location)
        _compare(opened.open(), LocalStore(gallery.index).open())
        assert [info.kind for info in opened.versions()] == ["rebuild", "rebuild", "upsert"]


def _compare(one: Collection, other: Collection) -> None:
    """The same items, and the same answers to every item as a query, with and without a filter."""
    red = parse_filter({"must_not": [{"key": "caption", "match": {"text": "RED"}}]})
    for target in Modality:
        items = sorted(other.items(target), key=lambda item: item.id)
        assert sorted(one.items(target), key=lambda item: item.id) == items
        assert len(items) == one.count(target) > 0
        for item in items:
            query = other.embedding(item.id)[None]
            for options in (SearchOptions(limit=3), SearchOptions(limit=3, offset=1, filter=red)):
                (found,), (expected,) = one.search(query, target, options), other.search(query, target, options)
                assert [(hit.item, pytest.approx(hit.score, abs=1e-6)) for hit in found] == [
                    (hit.item, hit.score) for hit in expected
                ]
