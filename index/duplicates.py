"""Items that are equal or nearly so: all groups of a gallery, and hits without the likes of better ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.collection import Collection, Hit, SearchOptions
from index.grouping import Groups
from index.items import Embeddings, Modality, Rows
from model.errors import InvalidInput

# Up to as many distinct items every pair is compared; beyond, each item with the best hits of a search for it.
ALL_PAIRS = 200_000
CANDIDATES = 16
_BLOCK = 2048

Candidates = Callable[[Embeddings, int], tuple[Embeddings, Rows]]  # queries [Q, D], k -> scores, rows [Q, k]; row -1


@dataclass(frozen=True, slots=True)
class Group:
    """Items that are alike, by id. Being alike is passed on: the first and the last may differ more than the threshold.

    `scores`: of each item its highest cosine with another of the group, 1 where file or embedding are equal. `exact`:
    each item equals another in that way.
    """

    ids: tuple[str, ...]
    scores: tuple[float, ...]
    exact: bool


def duplicates_of(collection: Collection, modality: Modality, threshold: float) -> list[Group]:
    """The groups among the items of one modality, as `find_duplicates` returns them.

    The embeddings are copied to a temporary file: memory stays bounded but for the ids.
    """
    check_threshold(threshold)
    ids = [item.id for item in collection.items(modality)]
    if not ids:
        return []
    first = collection.embedding(ids[0])
    row_of = {item_id: row for row, item_id in enumerate(ids)}

    def candidates(queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        scores, rows = np.zeros((len(queries), k), np.float32), np.full((len(queries), k), -1, np.int64)
        for place, hits in enumerate(collection.search(queries, modality, SearchOptions(limit=k))):
            scores[place, : len(hits)] = [hit.score for hit in hits]
            rows[place, : len(hits)] = [row_of[hit.item.id] for hit in hits]
        return scores, rows

    with TemporaryFile() as file:
        embeddings: Embeddings = np.memmap(file, np.float32, "w+", shape=(len(ids), len(first)))
        for row, item_id in enumerate(ids):
            embeddings[row] = collection.embedding(item_id)
        return find_duplicates(embeddings, ids, threshold=threshold, candidates=candidates)


def find_duplicates(
    embeddings: Embeddings,
    ids: Sequence[str],
    fingerprints: pa.ChunkedArray | None = None,
    *,
    threshold: float,
    candidates: Candidates | None = None,
) -> list[Group]:
    """Groups of at least two of the items with these L2-normalised embeddings [N, D], the largest first.

    Two items are alike where their fingerprints (hashes of files, null where there is none) or embeddings are equal,
    or where their cosine is at least `threshold`; a threshold of 1 leaves equal ones only. Beyond ALL_PAIRS distinct
    embeddings the nearest items come from `candidates`, if it is given, and groups may lack what it does not find.
    Raises InvalidInput for a threshold that is not above 0 and at most 1.
    """
    check_threshold(threshold)
    groups = Groups(len(ids))
    equal = _equal_rows(embeddings)
    groups.join(equal, np.arange(len(ids)), np.ones(len(ids), np.float32))
    if fingerprints is not None:
        same, rows = _equal_fingerprints(fingerprints)
        groups.join(same, rows, np.ones(len(rows), np.float32))
    exact = groups.scores.copy()
    if threshold < 1:
        distinct = np.unique(equal)
        if candidates is None or len(distinct) <= ALL_PAIRS:
            _join_all_pairs(groups, embeddings, distinct, threshold)
        else:
            _join_candidates(groups, embeddings, distinct, threshold, candidates)
    found = [_group(members, ids, groups.scores, exact) for members in groups.members()]
    return sorted(found, key=lambda group: (-len(group.ids), group.ids))


def unique_hits(
    fetch: Callable[[int, int], list[Hit]],
    embedding: Callable[[str], NDArray[np.float32]],
    *,
    threshold: float,
    limit: int,
    offset: int = 0,
    most: int = 10_000,
) -> list[Hit]:
    """Hits offset … offset + limit - 1 of those whose cosine with every better hit that stays is below the threshold.

    `fetch(offset, limit)` returns a page of the ranking, `embedding` that of an id. Pages are fetched until there are
    enough hits, until one is not full, and up to `most` hits. Raises InvalidInput for a threshold that is not above 0
    and at most 1.
    """
    check_threshold(threshold)
    kept: list[Hit] = []
    vectors: list[NDArray[np.float32]] = []
    seen, page = 0, max(32, 2 * (offset + limit))
    while len(kept) < offset + limit and seen < most:
        page = min(page, most - seen)
        hits = fetch(seen, page)
        for hit in hits:
            vector = embedding(hit.item.id)
            if len(kept) < offset + limit and not _is_like_any(vector, vectors, threshold):
                kept.append(hit)
                vectors.append(vector)
        if len(hits) < page:
            break
        seen, page = seen + page, 2 * page
    return kept[offset : offset + limit]


def check_threshold(threshold: float) -> None:
    """Raises InvalidInput unless 0 < threshold ≤ 1."""
    if not 0 < threshold <= 1:
        raise InvalidInput(f"a threshold of {threshold} for duplicates must be above 0 and at most 1, such as 0.95")


def _is_like_any(vector: NDArray[np.float32], others: list[NDArray[np.float32]], threshold: float) -> bool:
    if not others:
        return False
    stacked = np.stack(others)
    return bool((stacked @ vector >= threshold).any() or (stacked == vector).all(axis=1).any())


def _equal_rows(embeddings: Embeddings) -> Rows:
    """For each row the first one with the same bytes [N]; rows are hashed in blocks."""
    first: dict[bytes, int] = {}
    equal = np.empty(len(embeddings), np.int64)
    for row in range(len(embeddings)):
        equal[row] = first.setdefault(embeddings[row].tobytes(), row)
    return equal


def _equal_fingerprints(fingerprints: pa.ChunkedArray) -> tuple[Rows, Rows]:
    """The first row with the same fingerprint, and the row, for all rows that have one."""
    codes = fingerprints.combine_chunks().dictionary_encode()
    rows = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
    _, first, inverse = np.unique(codes.indices.drop_null().to_numpy(), return_index=True, return_inverse=True)
    return rows[first[inverse]], rows


def _join_all_pairs(groups: Groups, embeddings: Embeddings, rows: Rows, threshold: float) -> None:
    """Compare every pair of `rows`, a block of them with another at a time."""
    for start in range(0, len(rows), _BLOCK):
        left = rows[start : start + _BLOCK]
        block = embeddings[left]
        for other in range(start, len(rows), _BLOCK):
            right = rows[other : other + _BLOCK]
            cosines = block @ embeddings[right].T
            if start == other:
                cosines[np.tril_indices(len(left))] = -2
            one, two = np.nonzero(cosines >= threshold)
            groups.join(left[one], right[two], cosines[one, two])


def _join_candidates(
    groups: Groups, embeddings: Embeddings, rows: Rows, threshold: float, candidates: Candidates
) -> None:
    for start in range(0, len(rows), _BLOCK):
        left = rows[start : start + _BLOCK]
        scores, found = candidates(embeddings[left], CANDIDATES)
        pairs = (scores >= threshold) & (found >= 0) & (found != left[:, None])
        one, two = np.nonzero(pairs)
        groups.join(left[one], found[one, two], scores[one, two])


def _group(members: Rows, ids: Sequence[str], scores: Embeddings, exact: Embeddings) -> Group:
    ordered = sorted(members.tolist(), key=lambda row: ids[row])
    return Group(
        tuple(ids[row] for row in ordered),
        tuple(min(1.0, float(scores[row])) for row in ordered),
        bool((exact[members] == 1).all()),
    )
