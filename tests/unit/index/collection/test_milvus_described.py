"""Descriptions in Milvus: collections of earlier versions, whose rows have no field for them, are read and changed."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from index.collection import SearchOptions
from index.collection.milvus import changes, schema
from index.collection.milvus.connection import Connection
from index.collection.milvus.store import MilvusStore
from index.filters import parse_filter
from index.items import Item, Modality
from tests.collections_data import image_item, pending_rows, pending_version, text_item, unit_rows
from tests.unit.index.collection.milvus_lite import lite_store, served

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT
ITEMS = [image_item(f"{number}.jpg", "a dog" if number % 2 else None) for number in range(6)]
CAPTIONS = [text_item("1.jpg", "a caption")]
ROWS = {IMAGE: pending_rows(ITEMS, unit_rows(6)), TEXT: pending_rows(CAPTIONS, unit_rows(1))}
DESCRIBED = replace(ITEMS[2], description="a dog on a beach")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MilvusStore]:
    """A store whose current version an earlier version of this program has written."""
    fields, batches = schema.data_fields, schema.batches

    def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != "description"} for row in rows]

    with served(tmp_path) as path:
        store = lite_store(path)
        with monkeypatch.context() as patched:
            patched.setattr(
                changes,
                "data_fields",
                lambda dimension: [field for field in fields(dimension) if field["field_name"] != "description"],
            )
            patched.setattr(changes, "batches", lambda *args: map(without, batches(*args)))
            store.publish(pending_version(tmp_path, ROWS))
        assert "description" not in store._connection.field_names("aahr_g000001_image")
        yield store


def listed(store: MilvusStore, version: str | None = None) -> list[Item]:
    """All images of a version, read in every way there is."""
    opened = store.open(version)
    items = sorted(opened.items(IMAGE), key=lambda item: item.id)
    assert [opened.item(item.id) for item in items] == items
    # Contained in a text: a filter that Milvus cannot resolve, so that the items are read.
    jpg = parse_filter({"must": [{"key": "uri", "match": {"text": "JPG"}}]})
    for chosen in (None, jpg):
        (hits,) = opened.search(unit_rows(1), IMAGE, SearchOptions(limit=50, filter=chosen))
        assert sorted((hit.item for hit in hits), key=lambda item: item.id) == items
    opened.close()
    return items


def by_id(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: item.id)


def test_a_version_from_before_there_were_descriptions_is_read(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    for method in ("query", "pages"):
        call = getattr(Connection, method)

        def noting(self, name, expression, fields, *more, call=call, **others):  # type: ignore[no-untyped-def]
            asked.update(fields)
            return call(self, name, expression, fields, *more, **others)

        monkeypatch.setattr(Connection, method, noting)
    assert listed(store) == by_id(ITEMS)
    assert "caption" in asked
    assert "description" not in asked  # Milvus Lite passes over a field that is not there, a server refuses.
    store.compact()
    listed(store)
    assert "description" in asked


def test_a_change_of_it_writes_its_rows_anew_with_descriptions(store: MilvusStore, tmp_path: Path) -> None:
    before = store.open().index_id
    store.upsert({IMAGE: pending_rows([DESCRIBED], unit_rows(1, seed=1))})
    assert listed(store) == by_id([DESCRIBED, *(item for item in ITEMS if item.id != DESCRIBED.id)])
    assert "description" in store._connection.field_names("aahr_g000002_image")
    assert listed(store, "000001") == by_id(ITEMS)
    # From here on changes are made in place again, and what came back to be the same is the same.
    store.upsert({IMAGE: pending_rows([ITEMS[2]], ROWS[IMAGE].vectors[2:3])})
    assert store.open().manifest.generation == 2
    assert store.open().index_id == before
    assert store.publish(pending_version(tmp_path, ROWS)).index_id == before


def test_compacting_it_gives_its_rows_the_field(store: MilvusStore) -> None:
    before = store.open().index_id
    assert store.compact().index_id == before
    assert listed(store) == by_id(ITEMS)
    assert "description" in store._connection.field_names("aahr_g000002_image")


def test_a_row_without_a_description_has_the_digest_that_it_had_before_there_were_any() -> None:
    ((row,),) = schema.batches(TEXT, ROWS[TEXT], 1)
    texts = [row[name] for name in ("id", "image_id", "uri", "caption", "payload")]
    digest = hashlib.sha256(json.dumps([TEXT, *texts, row["fingerprint"]]).encode() + row["vector"].tobytes())
    assert row["digest"] == digest.hexdigest()


def test_another_description_is_another_index(store: MilvusStore) -> None:
    ids = set()
    for description in (None, "a dog", "a cat"):
        store.upsert({IMAGE: pending_rows([replace(ITEMS[0], description=description)], ROWS[IMAGE].vectors[:1])})
        ids.add(store.open().index_id)
    assert len(ids) == 3
