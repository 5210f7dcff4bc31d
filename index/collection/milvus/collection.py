"""One version of a Milvus store, open for reading."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.collection import Hit, Ordering, SearchOptions, checked_queries
from index.collection.milvus.catalog import Catalog
from index.collection.milvus.connection import PAGE_ROWS, Connection
from index.collection.milvus.expressions import quoted
from index.collection.milvus.known import MilvusKnown
from index.collection.milvus.manifest import MilvusManifest
from index.collection.milvus.matching import Matching
from index.collection.milvus.ranking import Ranked, Rows, Wanted, best_rows, scan
from index.collection.milvus.schema import ITEM_FIELDS, item_of, key_of, lacking, row_key
from index.items import Embeddings, Item, Modality
from index.known import Known
from index.manifest import IndexedModel
from index.sources.images import image_file
from model.errors import InvalidInput, ItemNotFound

# Milvus searches no further than this, offset and limit together.
WINDOW = 16_384

_PARAMS: Mapping[str, Sequence[str]] = {"FLAT": (), "HNSW": ("efSearch",)}
_EF_SEARCH = 128


class MilvusCollection:
    """A version of a store; hits fall by the cosine of the stored float32 vectors, computed here.

    With the index FLAT all rows are compared, and equal scores are ordered by id. HNSW compares some: hits are the best
    of its candidates, and so may differ between two pages; a filter that it cannot fill is resolved by comparing all.
    """

    def __init__(self, connection: Connection, catalog: Catalog, manifest: MilvusManifest) -> None:
        """`connection` is closed with the collection."""
        self.manifest = manifest
        self._connection = connection
        names = {modality: catalog.items(manifest.generation, modality) for modality in Modality}
        self.rows = {
            modality: Rows(connection, name, manifest.visible, lacking(connection.field_names(name)))
            for modality, name in names.items()
        }
        self._matching = {modality: Matching(self.rows[modality], modality) for modality in Modality}
        for rows in self.rows.values():
            connection.load(rows.name)

    @property
    def name(self) -> str:
        """Name of the store."""
        return self._connection.location.name

    @property
    def version(self) -> str:
        """Name of the version, such as 000001."""
        return self.manifest.version

    @property
    def index_id(self) -> str:
        """Equal exactly for equal models and items, whatever changes led to them."""
        return self.manifest.index_id

    @property
    def created_at(self) -> datetime:
        """When the version was published."""
        return self.manifest.created_at

    @property
    def model(self) -> IndexedModel:
        """The model that the embeddings come from."""
        return self.manifest.model

    @property
    def model_directory(self) -> Path:
        """Where that model lay when the version was written."""
        return Path(self.model.directory)

    def known(self) -> Known:
        """The rows of the version."""
        return MilvusKnown(self.model.embedding_key, f"{self.name}/{self.version}/{self.index_id}", self.rows)

    @property
    def images_root(self) -> Path:
        """Where the images lay when the version was written."""
        return Path(self.manifest.images_root)

    def ordering(self, modality: Modality) -> Ordering:  # noqa: ARG002 - the same for both
        """Complete with ties by id for FLAT, neither for HNSW."""
        flat = self.manifest.index_kind == "FLAT"
        return Ordering(complete=flat, ties="id" if flat else "unspecified")

    def count(self, modality: Modality) -> int:
        """The number of items of one modality."""
        return self.manifest.counts.of(modality)

    def stored(self, modality: Modality) -> int:
        """The number of rows of one modality that Milvus counts; `count` says how many there should be."""
        rows = self.rows[modality]
        return self._connection.count(rows.name, rows.visible)

    def normalised(self, modality: Modality) -> bool:  # noqa: ARG002 - the same for both
        """Never: Milvus ranks by the cosine."""
        return False

    def search(self, queries: Embeddings, target: Modality, options: SearchOptions) -> list[list[Hit]]:
        """See `Collection.search`; raises InvalidInput also where offset and limit reach beyond WINDOW items."""
        queries = self._checked(queries, options)
        count = self.count(target)
        wanted = min(options.offset + options.limit, count)
        if options.offset >= count or not len(queries):
            return [[] for _ in queries]
        if wanted > WINDOW:
            raise InvalidInput(
                f"offset {options.offset} and limit {options.limit} reach beyond the first {WINDOW} items, which is as "
                "far as Milvus searches; narrow the search by a filter"
            )
        ranked = self._ranked(queries, target, wanted, options)
        pages = [self._page(rows, options) for rows in ranked]
        items = self._items(target, {row.pk for page in pages for row in page})
        return [[Hit(row.score, items[row.pk]) for row in page] for page in pages]

    def items(self, modality: Modality) -> Iterator[Item]:
        """All items of one modality, a page of them in memory."""
        for page in self.rows[modality].pages(None, ITEM_FIELDS):
            yield from (item_of(modality, row) for row in page)

    def item(self, item_id: str) -> Item:
        """The item of this id; raises ItemNotFound."""
        return self._find(item_id)[0]

    def embedding(self, item_id: str) -> NDArray[np.float32]:
        """The embedding [D] of an item; raises ItemNotFound."""
        return self._find(item_id)[1]

    def image_path(self, item_id: str) -> Path:
        """The image file of an item (of a caption: of its image); raises ItemNotFound."""
        return image_file(self.images_root, self.item(item_id).uri)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def _checked(self, queries: Embeddings, options: SearchOptions) -> Embeddings:
        queries = checked_queries(queries, self.model.dimension, options)
        known = _PARAMS[self.manifest.index_kind]
        for name, value in (options.params or {}).items():
            if name not in known:
                raise InvalidInput(f"this index has no parameter {name!r:.40}; give {', '.join(known) or 'none'}")
            if not 1 <= value <= WINDOW:
                raise InvalidInput(f"{name} is {value}; it must be from 1 to {WINDOW}")
        return queries

    def _ranked(self, queries: Embeddings, target: Modality, wanted: int, options: SearchOptions) -> list[list[Ranked]]:
        rows, matching = self.rows[target], self._matching[target]
        expression = None
        if options.filter is not None:
            translated = matching.expression(options.filter)
            if not translated.exact:
                return scan(rows, queries, matching.keys(options.filter, translated), wanted)
            expression = translated.text
        if self.ordering(target).complete:
            return best_rows(rows, queries, expression, Wanted(wanted, self.count(target), WINDOW))
        # Milvus refuses to return more rows than it looks at.
        looked_at = max(wanted, (options.params or {}).get("efSearch", _EF_SEARCH))
        return rows.candidates(queries, expression, wanted, {"ef": looked_at})

    @staticmethod
    def _page(rows: Sequence[Ranked], options: SearchOptions) -> list[Ranked]:
        page = rows[options.offset : options.offset + options.limit]
        lowest = options.score_threshold
        return [row for row in page if lowest is None or row.score >= lowest]

    def _items(self, target: Modality, keys: set[str]) -> dict[str, Item]:
        ordered = sorted(keys)
        found: dict[str, Item] = {}
        for start in range(0, len(ordered), PAGE_ROWS):
            part = f"pk in {quoted(ordered[start : start + PAGE_ROWS])}"
            for row in self.rows[target].query(part, ITEM_FIELDS):
                found[row["pk"]] = item_of(target, row)
        return found

    def _find(self, item_id: str) -> tuple[Item, NDArray[np.float32]]:
        # By primary key, which is a look-up everywhere; by `key` Milvus Lite would read all rows.
        among = f"pk in {quoted([row_key(key_of(item_id), born) for born in self.manifest.lineage])}"
        for modality, rows in self.rows.items():
            for row in rows.query(among, (*ITEM_FIELDS, "died", "vector")):
                if row["died"] not in self.manifest.lineage:
                    return item_of(modality, row), np.asarray(row["vector"], np.float32)
        raise ItemNotFound(f"no item of index version {self.version} has the id {item_id!r:.80}")
