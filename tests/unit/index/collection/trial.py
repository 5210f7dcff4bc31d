"""A collection under test and its oracle, changed together and compared."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from index.collection import Collection, SearchOptions
from index.collection.store import Store
from index.items import Modality
from index.pending import PendingRows, PendingVersion
from tests.collections_data import DIMENSION, Drawing, pending_version
from tests.unit.index.collection.oracle import Oracle, check_search


class Subject(Protocol):
    """What is under test: each method returns the collection as it is after the change."""

    def build(self, pending: PendingVersion) -> Collection:
        """A collection with these rows and no others."""

    def upsert(self, rows: Mapping[Modality, PendingRows]) -> Collection:
        """With these rows, each in place of the one that had its id."""

    def delete(self, ids: Iterable[str]) -> Collection:
        """Without these items and the captions of deleted images."""


class StoreSubject:
    """A store under test."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def build(self, pending: PendingVersion) -> Collection:
        self._store.publish(pending)
        return self._store.open()

    def upsert(self, rows: Mapping[Modality, PendingRows]) -> Collection:
        self._store.upsert(rows)
        return self._store.open()

    def delete(self, ids: Iterable[str]) -> Collection:
        self._store.delete(ids)
        return self._store.open()


class Trial:
    """A subject and its oracle, changed together and compared."""

    def __init__(self, subject: Subject, root: Path, rows: Mapping[Modality, PendingRows], tolerance: float) -> None:
        self.subject = subject
        self.oracle = Oracle(rows)
        self.tolerance = tolerance
        self.collection = subject.build(pending_version(root, rows))

    def upsert(self, rows: Mapping[Modality, PendingRows]) -> None:
        self.oracle.upsert(rows)
        self.collection = self.subject.upsert(rows)

    def delete(self, ids: Iterable[str]) -> None:
        ids = list(ids)
        self.oracle.delete(ids)
        self.collection = self.subject.delete(ids)

    def search(self, queries: Any, target: Modality, options: SearchOptions) -> list[list[str]]:
        """The ids of the hits, which were compared with the oracle's."""
        found = check_search(self.collection, self.oracle, queries, target, options, self.tolerance)
        return [[hit.item.id for hit in hits] for hits in found]

    def check(self, drawing: Drawing, *, filters: int = 6) -> None:
        """Counts, items, embeddings, and searches with random options."""
        for modality in Modality:
            entries = self.oracle.of(modality)
            assert self.collection.count(modality) == len(entries)
            for entry in entries[:: max(1, len(entries) // 10)]:
                assert self.collection.item(entry.item.id) == entry.item
                embedding = self.collection.embedding(entry.item.id)
                np.testing.assert_allclose(embedding, entry.vector, rtol=0, atol=self.tolerance)
            queries = drawing.queries(self.oracle.vectors(modality, DIMENSION))
            for number in range(filters):
                chosen = drawing.filter(self.oracle.items(modality)) if number else None
                self.search(queries, modality, drawing.options(chosen))
