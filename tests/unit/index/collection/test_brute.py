"""The collection in memory passes the suite, through the slowest way of changing rows that there is."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from index.collection import Collection
from index.collection.brute import BruteCollection
from index.items import Modality
from index.pending import PendingRows, PendingVersion
from model.errors import InvalidInput, ItemNotFound
from tests.collections_data import Drawing, pending_version
from tests.unit.index.collection.suite import CollectionSuite, Subject


class BruteSubject:
    """Each change makes a new collection of all rows."""

    def __init__(self) -> None:
        self._pending: PendingVersion | None = None

    def build(self, pending: PendingVersion) -> Collection:
        self._pending = pending
        return BruteCollection(pending)

    def upsert(self, rows: Mapping[Modality, PendingRows]) -> Collection:
        pending = self._current()
        _check(pending, rows)
        new = {item_id for added in rows.values() for item_id in _column(added, "id")}
        kept = {modality: _without(old, new, "id") for modality, old in pending.rows.items()}
        return self.build(replace(pending, rows={one: _joined(kept.get(one), rows.get(one)) for one in Modality}))

    def delete(self, ids: Iterable[str]) -> Collection:
        pending, gone = self._current(), set(ids)
        if unknown := gone - {item_id for rows in pending.rows.values() for item_id in _column(rows, "id")}:
            raise ItemNotFound(f"no item has the id {unknown.pop()}")
        items = {modality: _without(old, gone, "id") for modality, old in pending.rows.items()}
        kept = {modality: _without(old, gone, "image_id") for modality, old in items.items()}
        return self.build(replace(pending, rows=kept))

    def _current(self) -> PendingVersion:
        assert self._pending is not None
        return self._pending


class TestBruteCollection(CollectionSuite):
    """All checks of the suite."""

    def subject(self, root: Path) -> Subject:  # noqa: ARG002 - nothing is written
        return BruteSubject()


def test_equal_contents_have_equal_ids(tmp_path: Path) -> None:
    one, same, other = (
        BruteCollection(pending_version(tmp_path, Drawing(seed).rows(5, 5))).index_id for seed in (0, 0, 1)
    )
    assert one == same != other


def _column(rows: PendingRows, name: str) -> list[str]:
    values: list[str] = rows.metadata[name].to_pylist()
    return values


def _without(rows: PendingRows, gone: set[str], column: str) -> PendingRows:
    kept = np.array([value not in gone for value in _column(rows, column)], bool)
    return PendingRows(rows.vectors[kept], rows.metadata.filter(pa.array(kept)))


def _joined(old: PendingRows | None, new: PendingRows | None) -> PendingRows:
    there = [rows for rows in (old, new) if rows is not None]
    return PendingRows(
        np.concatenate([rows.vectors for rows in there]), pa.concat_tables([rows.metadata for rows in there])
    )


def _check(pending: PendingVersion, rows: Mapping[Modality, PendingRows]) -> None:
    given = [item_id for added in rows.values() for item_id in _column(added, "id")]
    images = {*_ids(pending.rows, Modality.IMAGE), *_ids(rows, Modality.IMAGE)}
    texts = rows.get(Modality.TEXT)
    if any(added.vectors.shape[1] != pending.model.dimension for added in rows.values()):
        raise InvalidInput("rows of another dimension")
    if len(set(given)) < len(given):
        raise InvalidInput("an id is given twice")
    if any(set(_ids(rows, one)) & set(_ids(pending.rows, one.other)) for one in Modality):
        raise InvalidInput("an id has the other modality")
    if texts is not None and not set(_column(texts, "image_id")) <= images:
        raise InvalidInput("a caption has no image")


def _ids(rows: Mapping[Modality, PendingRows], modality: Modality) -> list[str]:
    return _column(rows[modality], "id") if modality in rows else []
