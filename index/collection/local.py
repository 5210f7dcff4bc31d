"""A collection in a directory: its open versions, and the store that makes new ones."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import changes
from index.catalog import Catalog
from index.collection import Collection, Hit, Ordering, SearchOptions, checked_queries, refuse_params
from index.items import Embeddings, Item, Modality
from index.known import Known, KnownParts, KnownRows
from index.manifest import IndexedModel, VersionInfo, VersionManifest
from index.pending import PendingRows, PendingVersion
from index.rebuild_progress import RebuildProgress, read_progress
from index.segment import Segment, read_segment_manifest
from index.snapshot import Snapshot
from index.sources.images import image_file
from index.workspace import workspace
from model.errors import ItemNotFound

_WORK = ".rebuild"


class LocalCollection:
    """One version of an index directory; segments are memory-mapped and may be shared with other versions."""

    def __init__(self, directory: Path, snapshot: Snapshot) -> None:
        self.directory = directory
        self.name = directory.resolve().name
        self.snapshot = snapshot
        self.manifest: VersionManifest = snapshot.manifest
        self.index_id = self.manifest.index_id
        self._counts = {modality: self.manifest.count(modality) for modality in Modality}

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def created_at(self) -> datetime:
        return self.manifest.created_at

    @property
    def model(self) -> IndexedModel:
        return self.manifest.model

    @property
    def model_directory(self) -> Path:
        return self.manifest.locate(self.model.directory, self.directory)

    @property
    def images_root(self) -> Path:
        """Where the image files lie; it may be gone."""
        return self.manifest.locate(self.manifest.images_root, self.directory)

    def ordering(self, modality: Modality) -> Ordering:
        return Ordering(complete=self.snapshot.complete(modality), ties="id")

    def count(self, modality: Modality) -> int:
        return self._counts[modality]

    def normalised(self, modality: Modality) -> bool:
        return self.snapshot.normalised(modality)

    def search(self, queries: Embeddings, target: Modality, options: SearchOptions) -> list[list[Hit]]:
        queries = checked_queries(queries, self.model.dimension, options)
        if not self.count(target):
            refuse_params(options)
        if options.offset >= self.count(target) or not len(queries):
            return [[] for _ in queries]
        wanted = options.offset + options.limit
        normalise = options.normalise and self.normalised(target)
        found = self.snapshot.search(
            queries,
            target,
            wanted,
            where=options.filter,
            params=options.params,
            lowest=-np.inf if options.score_threshold is None else options.score_threshold,
            normalise=normalise,
        )
        return [
            [
                Hit(row.score, self.snapshot.item(row.segment, row.row), row.rank_score if normalise else None)
                for row in rows[options.offset :]
            ]
            for rows in found
        ]

    def items(self, modality: Modality) -> Iterator[Item]:
        """All items of one modality, in the order of their rows."""
        for number, row in self.snapshot.live_rows(modality):
            yield self.snapshot.item(number, row)

    def item(self, item_id: str) -> Item:
        return self.snapshot.item(*self._find(item_id))

    def embedding(self, item_id: str) -> NDArray[np.float32]:
        return self.snapshot.vector(*self._find(item_id))

    def image_path(self, item_id: str) -> Path:
        return image_file(self.images_root, self.item(item_id).uri)

    def known(self) -> Known:
        """The rows of all segments, deleted ones too."""
        parts = [
            KnownRows(
                self.model.embedding_key,
                segment.id,
                {segment.modality: PendingRows(segment.vectors, segment.metadata.columns)},
            )
            for segment in self.snapshot.segments
        ]
        return KnownParts(self.model.embedding_key, parts)

    def close(self) -> None:
        """Nothing to do: files stay mapped until the last search that uses them has ended."""

    def _find(self, item_id: str) -> tuple[int, int]:
        found = self.snapshot.find(item_id)
        if found is None:
            raise ItemNotFound(f"no item of index version {self.version} has the id {item_id!r:.80}")
        return found


class LocalStore:
    """The versions of an index directory; `options` are those of the nearest-neighbour index of new main segments.

    With `normalise`, a new version knows its hubs, as far as it has enough items of the other modality to tell them by.
    """

    def __init__(self, directory: Path, options: changes.AnnOptions | None = None, *, normalise: bool = True) -> None:
        self.catalog = Catalog(directory)
        self._options = options
        self._normalise = normalise

    @property
    def location(self) -> str:
        return str(self.catalog.directory)

    def open(self, version: str | None = None, shared: Collection | None = None) -> LocalCollection:
        """See `Store.open`; what a version has in common with `shared` is not read again."""
        return LocalCollection(self.catalog.directory, self.catalog.open(version, _segments(shared)))

    def current(self) -> str:
        return self.catalog.current()

    def versions(self) -> list[VersionInfo]:
        names = self.catalog.names()
        current = self.catalog.current() if names else ""
        return [self.catalog.manifest(name).info(current=name == current) for name in names]

    def publish(self, pending: PendingVersion) -> VersionInfo:
        return self._described(changes.publish_pending(self.catalog, pending, self._options, normalise=self._normalise))

    def upsert(
        self,
        rows: Mapping[Modality, PendingRows],
        *,
        replace_captions: bool = False,
        base: Collection | None = None,
    ) -> VersionInfo:
        made_for = base.manifest if isinstance(base, LocalCollection) else None
        manifest = changes.upsert_rows(
            self.catalog, rows, replace_captions=replace_captions, made_for=made_for, shared=_segments(base)
        )
        return manifest.info(current=True)

    def delete(self, ids: Iterable[str], *, base: Collection | None = None) -> VersionInfo:
        return changes.delete_items(self.catalog, ids, shared=_segments(base)).info(current=True)

    def rollback(self, to: str | None = None) -> VersionInfo:
        return changes.rollback(self.catalog, to).info(current=True)

    def prune(self, keep: int) -> list[str]:
        return changes.prune(self.catalog, keep)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """See `Store.workspace`; that the index can be written to is found out before anything is embedded."""
        with self.catalog.writing():
            folder = self.catalog.directory / _WORK
        with workspace(folder):
            yield folder

    def rebuilding(self) -> RebuildProgress | None:
        return read_progress(self.catalog.directory / _WORK)

    def compact(self) -> VersionInfo:
        return self._described(changes.compact(self.catalog, self._options))

    def _described(self, manifest: VersionManifest) -> VersionInfo:
        segments = [read_segment_manifest(self.catalog.segments / part.id) for part in manifest.segments]
        return replace(manifest.info(current=True), notes=tuple(segment.summary for segment in segments))


def _segments(collection: Collection | None) -> dict[str, Segment]:
    """The open segments of a version, by id."""
    if not isinstance(collection, LocalCollection):
        return {}
    return {segment.id: segment for segment in collection.snapshot.segments}
