"""A snapshot: the segments of one version, open, searched as one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from index.ann.protocol import SearchParams
from index.filters import Filter
from index.items import Embeddings, Item, Modality, Rows
from index.manifest import SegmentReference, VersionManifest
from index.reranking import Candidates
from index.rows import RowSet
from index.segment import Segment
from model.errors import ArtifactCorrupt
from model.manifest import MANIFEST, sha256_of_file

_FILTERS_KEPT = 32


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was found: where it is, its id and its exact score."""

    score: float
    id: str
    segment: int
    row: int


class Snapshot:
    """The rows of one version; every method may be called from many threads at once.

    `live` holds for each segment the rows that are not deleted, None where all are there.
    """

    def __init__(self, manifest: VersionManifest, segments: Sequence[Segment], live: Sequence[RowSet | None]) -> None:
        self.manifest = manifest
        self.segments = tuple(segments)
        self.live = tuple(live)
        self._filtered: LRUCache[str, tuple[RowSet, ...]] = LRUCache(_FILTERS_KEPT)
        self._lock = Lock()

    def find(self, item_id: str) -> tuple[int, int] | None:
        """The segment and the row of a live item; the newest segment that has the id decides."""
        for number in reversed(range(len(self.segments))):
            row = self.segments[number].metadata.row_of(item_id)
            live = self.live[number]
            if row is not None and (live is None or live.mask[row]):
                return number, row
        return None

    def item(self, segment: int, row: int) -> Item:
        """The item of a row of a segment."""
        return self.segments[segment].item(row)

    def vector(self, segment: int, row: int) -> NDArray[np.float32]:
        """The embedding [D] of a row of a segment."""
        vector: NDArray[np.float32] = np.array(self.segments[segment].vectors[row])
        return vector

    def live_rows(self, modality: Modality) -> Iterator[tuple[int, int]]:
        """Segment and row of every item of one modality."""
        for number, segment in enumerate(self.segments):
            if segment.modality is modality:
                live = self.live[number]
                rows = range(segment.size) if live is None else live.rows.tolist()
                yield from ((number, row) for row in rows)

    def search(
        self,
        queries: Embeddings,
        modality: Modality,
        wanted: int,
        *,
        where: Filter | None = None,
        params: SearchParams | None = None,
    ) -> list[list[Found]]:
        """For each query of [Q, D] the best `wanted` rows of one modality: falling scores, equal ones by id."""
        numbers = [number for number, segment in enumerate(self.segments) if segment.modality is modality]
        allowed = self._allowed(where)
        found = [
            self.segments[number].search(queries, wanted, allowed=allowed[number], params=params) for number in numbers
        ]
        return [
            self._merged([(number, parts[query]) for number, parts in zip(numbers, found, strict=True)], wanted)
            for query in range(len(queries))
        ]

    def complete(self, modality: Modality) -> bool:
        """Whether a search of one modality compares with every row."""
        return all(segment.complete for segment in self.segments if segment.modality is modality)

    def _allowed(self, where: Filter | None) -> Sequence[RowSet | None]:
        if where is None:
            return self.live
        key = where.model_dump_json()
        with self._lock:
            known = self._filtered.get(key)
        if known is None:
            known = tuple(
                RowSet(segment.metadata.mask(where)).intersection(live)
                for segment, live in zip(self.segments, self.live, strict=True)
            )
            with self._lock:
                self._filtered[key] = known
        return known

    def _merged(self, parts: Sequence[tuple[int, Candidates]], wanted: int) -> list[Found]:
        """Ids are read for rows that are in the answer, or might be by their tie, and for no others."""
        scores = np.concatenate([found.scores for _, found in parts] or [np.empty(0, np.float32)])
        if not len(scores):
            return []
        lowest = np.sort(scores)[::-1][min(wanted, len(scores)) - 1]
        found: list[Found] = []
        for number, candidates in parts:
            kept = candidates.scores >= lowest
            ids = self.segments[number].metadata.ids(candidates.rows[kept])
            rows = candidates.rows[kept].tolist()
            found += map(Found, candidates.scores[kept].tolist(), ids, [number] * len(rows), rows)
        found.sort(key=lambda hit: (-hit.score, hit.id))
        return found[:wanted]


def open_snapshot(
    manifest: VersionManifest,
    version_directory: Path,
    segments: Path,
    shared: Mapping[str, Segment],
    open_segment: Callable[[Path], Segment] = Segment.open,
) -> Snapshot:
    """Open the segments of a version below `segments`; those in `shared`, by id, are open already.

    Raises ArtifactMissing and ArtifactCorrupt.
    """
    opened = []
    for reference in manifest.segments:
        segment = shared.get(reference.id) or open_segment(segments / reference.id)
        _check_reference(segments / reference.id, reference, segment, manifest)
        opened.append(segment)
    live = [RowSet.without(part.rows, _deleted_rows(version_directory, part)) for part in manifest.segments]
    return Snapshot(manifest, opened, live)


def _check_reference(directory: Path, reference: SegmentReference, segment: Segment, manifest: VersionManifest) -> None:
    found = (segment.modality, segment.size, segment.manifest.dimension)
    expected = (reference.modality, reference.rows, manifest.model.dimension)
    if found != expected or sha256_of_file(directory / MANIFEST) != reference.manifest_sha256:
        raise ArtifactCorrupt(
            f"{directory} is not the segment that version {manifest.version} was published with "
            f"({expected[1]} {expected[0]} rows of dimension {expected[2]}); rebuild the index"
        )


def _deleted_rows(version_directory: Path, reference: SegmentReference) -> Rows:
    if not reference.deleted:
        return np.empty(0, np.int64)
    path = version_directory / reference.deleted_file
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactCorrupt(f"{path} is not an array of NumPy ({error}); roll back or rebuild the index") from error
    sound = rows.dtype == np.int64 and rows.ndim == 1 and len(np.unique(rows)) == len(rows) == reference.deleted
    if not sound or rows.min() < 0 or rows.max() >= reference.rows:
        listed = f"{reference.deleted} of {reference.rows} rows"
        raise ArtifactCorrupt(f"{path} does not list {listed}; roll back or rebuild the index")
    deleted: Rows = rows
    return deleted
