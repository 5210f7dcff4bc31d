"""A collection in memory that compares every query with every item: slow, obvious, what others must equal."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.collection import Hit, Ordering, SearchOptions, checked_queries, refuse_params
from index.filters import Filter, matches
from index.items import Embeddings, Item, Modality
from index.manifest import IndexedModel
from index.pending import PendingRows, PendingVersion
from index.sources.images import image_file
from model.errors import ItemNotFound


class BruteCollection:
    """The rows of a PendingVersion; hits fall by score (float64 rounded to float32), equal scores are ordered by id."""

    def __init__(self, pending: PendingVersion, *, name: str = "brute", version: str = "000001") -> None:
        self._name = name
        self._version = version
        self._created_at = datetime.now(UTC)
        self._pending = pending
        self._items = {modality: _items(pending.rows.get(modality), modality) for modality in Modality}
        self._vectors = {
            modality: np.asarray(pending.rows[modality].vectors, np.float32) if self._items[modality] else None
            for modality in Modality
        }
        self._places = {item.id: (item, row) for items in self._items.values() for row, item in enumerate(items)}

    @property
    def name(self) -> str:
        """Name of the index."""
        return self._name

    @property
    def version(self) -> str:
        """Name of the version."""
        return self._version

    @property
    def index_id(self) -> str:
        """SHA-256 over the model, and over the rows ordered by id."""
        digest = hashlib.sha256(self.model.model_id.encode())
        for item_id in sorted(self._places):
            item, _ = self._places[item_id]
            fields = [item.id, item.modality, item.uri, item.caption, dict(item.payload), item.description]
            digest.update(json.dumps(fields).encode() + self.embedding(item_id).tobytes())
        return digest.hexdigest()[:16]

    @property
    def created_at(self) -> datetime:
        """When this object was made."""
        return self._created_at

    @property
    def model(self) -> IndexedModel:
        """The model that the embeddings come from."""
        return self._pending.model

    @property
    def model_directory(self) -> Path:
        """Where that model lies; it may be gone."""
        return Path(self.model.directory)

    def ordering(self, modality: Modality) -> Ordering:  # noqa: ARG002 - the same for both
        """Complete, ties by id."""
        return Ordering(complete=True, ties="id")

    def count(self, modality: Modality) -> int:
        """The number of items of one modality."""
        return len(self._items[modality])

    def normalised(self, modality: Modality) -> bool:  # noqa: ARG002 - the same for both
        """Never: it ranks by the cosine alone."""
        return False

    def search(self, queries: Embeddings, target: Modality, options: SearchOptions) -> list[list[Hit]]:
        """For each query of [Q, D] its hits; raises as Collection.search says."""
        queries = checked_queries(queries, self.model.dimension, options)
        refuse_params(options)
        allowed = [row for row, item in enumerate(self._items[target]) if _allows(options.filter, item)]
        return [self._best(query, target, allowed, options) for query in queries]

    def items(self, modality: Modality) -> Iterator[Item]:
        """All items of one modality, in the order of their rows."""
        yield from self._items[modality]

    def item(self, item_id: str) -> Item:
        """The item of this id; raises ItemNotFound."""
        return self._place(item_id)[0]

    def embedding(self, item_id: str) -> NDArray[np.float32]:
        """The embedding [D] of an item; raises ItemNotFound."""
        item, row = self._place(item_id)
        vectors = self._vectors[item.modality]
        assert vectors is not None  # The modality has this item.
        embedding: NDArray[np.float32] = vectors[row]
        return embedding

    def image_path(self, item_id: str) -> Path:
        """The image file of an item (of a caption: of its image); raises ItemNotFound."""
        return image_file(self.images_root, self.item(item_id).uri)

    @property
    def images_root(self) -> Path:
        """Where the image files lie."""
        return self._pending.images_root

    def known(self) -> None:
        """It is made for tests: everything is embedded again."""

    def close(self) -> None:
        """Nothing is held beside memory."""

    def _place(self, item_id: str) -> tuple[Item, int]:
        try:
            return self._places[item_id]
        except KeyError:
            raise ItemNotFound(f"no item of index version {self.version} has the id {item_id!r:.80}") from None

    def _best(self, query: Embeddings, target: Modality, allowed: list[int], options: SearchOptions) -> list[Hit]:
        vectors = self._vectors[target]
        if vectors is None:
            return []
        exact = (vectors[allowed].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        items = [self._items[target][row] for row in allowed]
        hits = [Hit(float(score), item) for score, item in zip(exact.astype(np.float32), items, strict=True)]
        if options.score_threshold is not None:
            hits = [hit for hit in hits if hit.score >= options.score_threshold]
        hits.sort(key=lambda hit: (-hit.score, hit.item.id))
        return hits[options.offset : options.offset + options.limit]


def _allows(filter: Filter | None, item: Item) -> bool:
    return filter is None or matches(filter, item)


def _items(rows: PendingRows | None, modality: Modality) -> list[Item]:
    return [] if rows is None else list(_read_items(rows, modality))


def _read_items(rows: PendingRows, modality: Modality) -> Iterator[Item]:
    for row in rows.metadata.select(["id", "uri", "caption", "payload", "description"]).to_pylist():
        payload = json.loads(row["payload"])
        yield Item(row["id"], modality, row["uri"], row["caption"], payload, row["description"])
