"""A snapshot: the segments of one version, open, searched as one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from index.ann.protocol import SearchParams
from index.bank import Bank
from index.filters import Filter
from index.items import Embeddings, Item, Modality, Rows
from index.manifest import SegmentReference, VersionManifest
from index.reranking import Candidates
from index.rows import RowSet
from index.segment import Segment
from model.errors import ArtifactCorrupt
from model.hubness import WEIGHT
from model.manifest import MANIFEST, sha256_of_file

_FILTERS_KEPT = 32
_LEAST_BREADTH = 64


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was found: where it is, its id, its exact score, and the score that it is ranked by."""

    score: float
    rank_score: float
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
        lowest: float = -np.inf,
        normalise: bool = False,
    ) -> list[list[Found]]:
        """For each query of [Q, D] the best `wanted` rows of one modality: falling rank scores, equal ones by id.

        Rows of a score below `lowest` are left out. With `normalise`, which needs a `normalised` modality, the rank
        score is the score less a share of the row's hubness, and the best are chosen among more candidates by score.
        """
        numbers = self._numbers(modality)
        breadth = _breadth(wanted) if normalise else wanted
        allowed = self._allowed(where)
        found = [
            self.segments[number].search(queries, breadth, allowed=allowed[number], params=params) for number in numbers
        ]
        weight = WEIGHT if normalise else 0.0
        ranked = [
            [_Ranked.of(number, self.segments[number], candidates, lowest, weight) for candidates in parts]
            for number, parts in zip(numbers, found, strict=True)
        ]
        return [self._merged([parts[query] for parts in ranked], wanted) for query in range(len(queries))]

    def normalised(self, modality: Modality) -> bool:
        """Whether the hubness of every row of one modality is known."""
        numbers = self._numbers(modality)
        return bool(numbers) and all(self.segments[number].hubness is not None for number in numbers)

    def bank(self, modality: Modality) -> Bank | None:
        """What the hubness of the first rows of a modality was measured by; None without, and where it is gone."""
        numbers = self._numbers(modality.other)
        if not numbers or not self.normalised(modality):
            return None
        bank = self.segments[numbers[0]].bank
        return bank if bank.is_enough else None

    def complete(self, modality: Modality) -> bool:
        """Whether a search of one modality compares with every row."""
        return all(self.segments[number].complete for number in self._numbers(modality))

    def _numbers(self, modality: Modality) -> list[int]:
        return [number for number, segment in enumerate(self.segments) if segment.modality is modality]

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

    def _merged(self, parts: Sequence["_Ranked"], wanted: int) -> list[Found]:
        """Ids are read for rows that are in the answer, or might be by their tie, and for no others."""
        everything = np.concatenate([part.rank_scores for part in parts] or [np.empty(0, np.float32)])
        if not len(everything):
            return []
        least = np.sort(everything)[::-1][min(wanted, len(everything)) - 1]
        found: list[Found] = []
        for part in parts:
            kept = part.rank_scores >= least
            rows = part.rows[kept]
            ids = self.segments[part.segment].metadata.ids(rows)
            scores, ranked = part.scores[kept].tolist(), part.rank_scores[kept].tolist()
            found += map(Found, scores, ranked, ids, [part.segment] * len(rows), rows.tolist())
        found.sort(key=lambda hit: (-hit.rank_score, hit.id))
        return found[:wanted]


class _Ranked(NamedTuple):
    """Candidates of one segment, with the scores that they are ranked by."""

    segment: int
    scores: Embeddings
    rank_scores: Embeddings
    rows: Rows

    @classmethod
    def of(cls, number: int, segment: Segment, found: Candidates, lowest: float, weight: float) -> "_Ranked":
        scores, rows = found
        if lowest > -np.inf:
            kept = scores >= lowest
            scores, rows = scores[kept], rows[kept]
        if segment.hubness is None or not weight:
            return cls(number, scores, scores, rows)
        return cls(number, scores, scores - np.float32(weight) * segment.hubness[rows], rows)


def _breadth(wanted: int) -> int:
    """How many rows by score are ranked for so many: a power of two, so that neighbouring pages rank the same ones."""
    return max(_LEAST_BREADTH, 2 << wanted.bit_length())


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
