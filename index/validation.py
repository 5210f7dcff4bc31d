"""Does a new version answer as it should? Asked of every segment that it adds, before it is published."""

import numpy as np

from index.ann.exact import scan
from index.items import Embeddings
from index.segment import Segment
from index.snapshot import Snapshot
from model.errors import ArtifactCorrupt

_SAMPLES = 64
_TOLERANCE = 1e-4
# What a search of a row by its own embedding has to find: all rows of an exact index, nearly all of another.
_FOUND_SHARE = 0.9
# Rows search otherwise than queries do, and there are few of them: what is as far off as this was built wrongly.
_RECALL_MARGIN = 0.15
_RECALL_SAMPLES = 16
_K = 10
_BLOCK = 65_536


def validate(snapshot: Snapshot, new: set[str]) -> None:
    """Compare the segments with ids `new` with themselves: lengths, ids and self-retrieval of rows spread over each.

    Raises ArtifactCorrupt where an embedding is not of length 1, an id stands twice or does not lead to its row, or a
    row does not find itself (or a row equal to it) first.
    """
    for number, segment in enumerate(snapshot.segments):
        if segment.id in new:
            _check_lengths(segment)
            _check_ids(snapshot, number)
            _check_self_retrieval(segment)
            _check_recall(segment)


def _check_lengths(segment: Segment) -> None:
    for start in range(0, segment.size, _BLOCK):
        lengths = np.linalg.norm(segment.vectors[start : start + _BLOCK], axis=1)
        farthest = float(np.abs(lengths - 1).max())
        if not farthest <= _TOLERANCE:  # Not a number is not within it either.
            raise ArtifactCorrupt(
                f"the model returns {segment.modality} embeddings whose length is off 1 by {farthest:.2g}; "
                "export it again"
            )


def _check_ids(snapshot: Snapshot, number: int) -> None:
    segment, live = snapshot.segments[number], snapshot.live[number]
    rows = _sample(segment)
    for row, item_id in zip(rows.tolist(), segment.metadata.ids(rows), strict=True):
        if (live is None or live.mask[row]) and snapshot.find(item_id) != (number, row):
            raise ArtifactCorrupt(f"the id {item_id} of the new {segment.modality} rows leads to another item")


def _check_self_retrieval(segment: Segment) -> None:
    rows = _sample(segment)
    queries: Embeddings = np.array(segment.vectors[rows])
    found = [candidates.scores[0] > 1 - _TOLERANCE for candidates in segment.search(queries, 1)]
    share = float(np.mean(found))
    if share < (1.0 if segment.complete else _FOUND_SHARE):
        raise ArtifactCorrupt(
            f"only {share:.0%} of the new {segment.modality} rows find themselves; rebuild the index with another kind"
        )


def _check_recall(segment: Segment) -> None:
    """Compare an approximate index with a search of all rows; an exact one has nothing to lose."""
    if segment.complete:
        return
    rows = _sample(segment)[:: _SAMPLES // _RECALL_SAMPLES]
    queries: Embeddings = np.array(segment.vectors[rows])
    k = min(_K, segment.size)
    least = scan(segment.vectors, queries, k)[0][:, -1]
    found = [
        candidates.scores[:k] >= low - _TOLERANCE
        for candidates, low in zip(segment.search(queries, k), least, strict=True)
    ]
    recall, tuned = float(np.mean(np.concatenate(found))), segment.manifest.ann.recall_at_10
    if recall < tuned - _RECALL_MARGIN:
        raise ArtifactCorrupt(
            f"recall@{k} of the new {segment.modality} rows is {recall:.2f}, though tuning measured {tuned:.2f}; "
            "rebuild the index with another kind"
        )


def _sample(segment: Segment) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.unique(np.linspace(0, segment.size - 1, _SAMPLES).astype(np.int64))
