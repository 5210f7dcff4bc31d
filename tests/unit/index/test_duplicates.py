"""Groups of items that are alike, beside a slow search of all pairs; hits that are unlike each other."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from index.collection import Hit, SearchOptions
from index.collection.brute import BruteCollection
from index.duplicates import Candidates, Group, duplicates_of, find_duplicates, unique_hits
from index.grouping import Groups
from index.items import Embeddings, Modality, Rows
from index.queries import search_unique
from model.errors import InvalidInput
from tests.collections_data import Drawing, image_item, pending_rows, pending_version, unit_rows

IMAGE = Modality.IMAGE


def slow_groups(embeddings: Embeddings, threshold: float, fingerprints: list[bytes | None]) -> set[frozenset[int]]:
    """Sets that are joined while any two that are alike are apart."""
    groups = [{row} for row in range(len(embeddings))]
    for one, other in combinations(range(len(embeddings)), 2):
        same = fingerprints[one] is not None and fingerprints[one] == fingerprints[other]
        equal = np.array_equal(embeddings[one], embeddings[other])
        near = threshold < 1 and float(embeddings[one] @ embeddings[other]) >= threshold
        if same or equal or near:
            left, right = (next(group for group in groups if row in group) for row in (one, other))
            if left is not right:
                left |= right
                groups.remove(right)
    return {frozenset(group) for group in groups if len(group) > 1}


def clustered(rows: int, seed: int) -> Embeddings:
    """Equal rows, rows near to others, and chains of them."""
    rng = np.random.default_rng(seed)
    centres = unit_rows(max(1, rows // 4), seed=seed)
    noise = rng.normal(size=(rows, centres.shape[1])) * rng.choice([0, 0, 0.05, 0.2], (rows, 1))
    moved = centres[rng.integers(0, len(centres), rows)] + noise
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def as_rows(groups: list[Group]) -> set[frozenset[int]]:
    return {frozenset(int(item_id) for item_id in group.ids) for group in groups}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.8, 0.97, 0.999, 1.0])
def test_groups_are_those_of_all_pairs(seed: int, threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.duplicates._BLOCK", 7)
    embeddings = clustered(60, seed)
    rng = np.random.default_rng(seed)
    fingerprints = [bytes([rng.integers(9)]) * 32 if rng.integers(3) == 0 else None for _ in range(60)]
    found = find_duplicates(
        embeddings,
        [f"{row:03d}" for row in range(60)],
        pa.chunked_array([pa.array(fingerprints[:20], pa.binary(32)), pa.array(fingerprints[20:], pa.binary(32))]),
        threshold=threshold,
    )
    assert as_rows(found) == slow_groups(embeddings, threshold, fingerprints)
    assert [len(group.ids) for group in found] == sorted((len(group.ids) for group in found), reverse=True)
    assert all(list(group.ids) == sorted(group.ids) for group in found)


def test_scores_are_the_highest_cosine_within_the_group() -> None:
    angles = np.radians([0, 0, 10, 15, 90, 180])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    (group,) = find_duplicates(embeddings, list("abcdef"), threshold=0.98)
    assert group.ids == ("a", "b", "c", "d")
    assert group.scores == pytest.approx((1, 1, np.cos(np.radians(5)), np.cos(np.radians(5))))
    assert not group.exact
    (exact,) = find_duplicates(embeddings, list("abcdef"), threshold=0.999)
    assert exact == Group(("a", "b"), (1.0, 1.0), exact=True)


def test_equal_files_are_exact_duplicates() -> None:
    fingerprints = pa.chunked_array([pa.array([b"a" * 32, None, b"a" * 32, None], pa.binary(32))])
    (group,) = find_duplicates(unit_rows(4), list("abcd"), fingerprints, threshold=1)
    assert group == Group(("a", "c"), (1.0, 1.0), exact=True)


@pytest.mark.parametrize("rows", [0, 1])
def test_no_pair_no_group(rows: int) -> None:
    assert find_duplicates(unit_rows(rows), ["a"][:rows], threshold=0.5) == []


def test_one_large_group_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 rows have 4 million pairs, and all are alike."""
    near = np.ones((3000, 4), np.float32) + np.random.default_rng(0).normal(scale=1e-3, size=(3000, 4))
    united: list[int] = []
    unite = Groups._unite
    monkeypatch.setattr(Groups, "_unite", lambda groups, one, other: (united.append(one), unite(groups, one, other)))
    vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    (group,) = find_duplicates(vectors, [str(row) for row in range(3000)], threshold=0.9)
    assert len(group.ids) == 3000
    assert len(united) < 50_000


def exact_candidates(embeddings: Embeddings) -> Candidates:
    def search(queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        scores = np.full((len(queries), k), 0, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        cosines = queries @ embeddings.T
        order = np.argsort(-cosines, axis=1)[:, :k]
        rows[:, : order.shape[1]] = order
        scores[:, : order.shape[1]] = np.take_along_axis(cosines, order, axis=1)
        return scores, rows

    return search


def test_many_rows_are_grouped_by_their_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.duplicates.ALL_PAIRS", 10)
    embeddings = clustered(40, 3)
    ids = [str(row) for row in range(40)]
    found = find_duplicates(embeddings, ids, threshold=0.99, candidates=exact_candidates(embeddings))
    assert as_rows(found) == slow_groups(embeddings, 0.99, [None] * 40)
    alone = find_duplicates(embeddings, ids, threshold=0.99, candidates=lambda queries, k: nothing(len(queries), k))
    assert as_rows(alone) == slow_groups(embeddings, 1, [None] * 40)  # Without candidates only equal ones are left.


def nothing(queries: int, k: int) -> tuple[Embeddings, Rows]:
    return np.ones((queries, k), np.float32), np.full((queries, k), -1, np.int64)


@pytest.mark.parametrize("all_pairs", [0, 1000])
def test_duplicates_of_a_collection(all_pairs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.duplicates.ALL_PAIRS", all_pairs)
    drawing = Drawing(0)
    rows = drawing.rows(30, 0)
    collection = BruteCollection(pending_version(tmp_path, rows))
    ids = rows[IMAGE].metadata["id"].to_pylist()
    found = duplicates_of(collection, IMAGE, 0.98)
    expected = slow_groups(rows[IMAGE].vectors, 0.98, [None] * 30)
    assert {frozenset(group.ids) for group in found} == {frozenset(ids[row] for row in group) for group in expected}
    assert found
    assert duplicates_of(collection, Modality.TEXT, 0.98) == []


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_a_threshold_that_cannot_work_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidInput, match="above 0 and at most 1"):
        find_duplicates(unit_rows(2), ["a", "b"], threshold=threshold)
    with pytest.raises(InvalidInput, match="above 0 and at most 1"):
        unique_hits(lambda *_: [], lambda _: unit_rows(1)[0], threshold=threshold, limit=1)


def copies(tmp_path: Path) -> BruteCollection:
    """40 different images, of each of the first five 30 copies."""
    vectors = unit_rows(40, dimension=8, seed=1)
    vectors = np.concatenate([vectors, np.repeat(vectors[:5], 30, axis=0)])
    items = [image_item(f"{row:03d}.jpg") for row in range(len(vectors))]
    return BruteCollection(pending_version(tmp_path, {IMAGE: pending_rows(items, vectors)}))


def slow_unique(collection: BruteCollection, query: Embeddings, threshold: float) -> list[Hit]:
    (ranked,) = collection.search(query, IMAGE, SearchOptions(limit=10_000))
    kept: list[Hit] = []
    for hit in ranked:
        vector = collection.embedding(hit.item.id)
        if all(float(vector @ collection.embedding(better.item.id)) < threshold for better in kept):
            kept.append(hit)
    return kept


@pytest.mark.parametrize(("limit", "offset"), [(1, 0), (5, 0), (10, 0), (10, 10), (39, 0), (100, 0), (7, 35), (5, 60)])
@pytest.mark.parametrize("threshold", [0.7, 0.999])
def test_unique_hits_fill_the_limit(limit: int, offset: int, threshold: float, tmp_path: Path) -> None:
    collection = copies(tmp_path)
    query = unit_rows(40, seed=1)[2:3]
    found = search_unique(collection, query, IMAGE, SearchOptions(limit=limit, offset=offset), threshold)
    assert found == slow_unique(collection, query, threshold)[offset : offset + limit]


def test_equal_embeddings_are_alike_at_a_threshold_of_one(tmp_path: Path) -> None:
    """Also where their product in float32 is a little less than 1."""
    vectors = np.repeat(unit_rows(40), 2, axis=0)
    assert (vectors @ vectors.T).diagonal().min() < 1
    items = [image_item(f"{row}.jpg") for row in range(80)]
    collection = BruteCollection(pending_version(tmp_path, {IMAGE: pending_rows(items, vectors)}))
    assert len(search_unique(collection, unit_rows(1), IMAGE, SearchOptions(limit=1000), 1.0)) == 40


def test_without_unique_all_hits_stay_and_bad_options_are_refused(tmp_path: Path) -> None:
    collection = copies(tmp_path)
    assert len(search_unique(collection, unit_rows(1), IMAGE, SearchOptions(limit=190), None)) == 190
    for options in (SearchOptions(limit=0), SearchOptions(offset=-1), SearchOptions(params={"x": 1})):
        with pytest.raises(InvalidInput):
            search_unique(collection, unit_rows(1), IMAGE, options, 0.9)


def test_no_more_than_the_most_are_fetched() -> None:
    pages: list[tuple[int, int]] = []
    found = unique_hits(endless(pages), lambda _: unit_rows(1)[0], threshold=0.9, limit=3, most=500)
    assert len(found) == 1
    assert sum(limit for _, limit in pages) == 500
    assert len(pages) < 8  # Each page is twice the one before.


def endless(pages: list[tuple[int, int]]) -> Callable[[int, int], list[Hit]]:
    def fetch(offset: int, limit: int) -> list[Hit]:
        pages.append((offset, limit))
        return [Hit(1.0, image_item(f"{number}.jpg")) for number in range(offset, offset + limit)]

    return fetch
