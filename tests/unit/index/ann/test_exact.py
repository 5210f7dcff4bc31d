import sys
import threading
from pathlib import Path

import faiss
import numpy as np
import pytest

from index.ann import exact_scan, rerank
from index.ann.flat import FlatIndex
from model.errors import InvalidInput
from tests.unit.index.ann.vectors import Floats, brute_force, clustered

VECTORS, QUERIES = clustered(400), clustered(50, seed=5)


@pytest.fixture
def mapped(tmp_path: Path) -> Floats:
    """The vectors as a segment holds them: memory-mapped and not to be written."""
    np.save(tmp_path / "vectors.npy", VECTORS)
    array: Floats = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    return array


@pytest.mark.parametrize("count", [1, 3, 50])  # faiss takes another way from 20 queries on
def test_a_flat_index_over_a_memory_map_equals_brute_force(mapped: Floats, count: int) -> None:
    index = FlatIndex(mapped)
    scores, rows = index.search(QUERIES[:count], 10)
    assert (index.kind, index.exact, index.size, index.dimension) == ("flat", True, 400, 32)
    assert rows.tolist() == brute_force(VECTORS, QUERIES[:count], 10)
    np.testing.assert_allclose(scores, np.take_along_axis(QUERIES[:count] @ VECTORS.T, rows, 1), atol=1e-6)


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_only_allowed_rows_are_found_and_all_of_them(count: int, share: float) -> None:
    allowed = np.random.default_rng(1).random(400) < share
    scores, rows = FlatIndex(VECTORS).search(QUERIES[:count], 20, allowed=allowed)
    found = [[row for row in line if row >= 0] for line in rows.tolist()]
    assert found == brute_force(VECTORS, QUERIES[:count], 20, allowed)
    assert (scores[rows < 0] == -np.inf).all()
    assert (rows[:, min(20, int(allowed.sum())) :] == -1).all()


def test_more_results_than_rows_end_with_minus_one() -> None:
    scores, rows = FlatIndex(VECTORS[:3]).search(QUERIES[:2], 5)
    assert rows.shape == scores.shape == (2, 5)
    assert (rows[:, :3] >= 0).all()
    assert (rows[:, 3:] == -1).all()
    assert (scores[:, 3:] == -np.inf).all()


def test_no_queries_and_no_rows_are_no_error() -> None:
    assert FlatIndex(VECTORS).search(QUERIES[:0], 5)[1].shape == (0, 5)
    assert FlatIndex(VECTORS[:0]).search(QUERIES[:2], 5)[1].tolist() == [[-1] * 5] * 2
    assert exact_scan(VECTORS, np.array([], np.int64), QUERIES[:1], 2)[1].tolist() == [[-1, -1]]


def test_listed_rows_are_scanned_exactly(mapped: Floats) -> None:
    listed = np.random.default_rng(2).choice(400, 37, replace=False)
    allowed = np.isin(np.arange(400), listed)
    scores, rows = exact_scan(mapped, listed, QUERIES, 50)
    assert rows[:, :37].tolist() == brute_force(VECTORS, QUERIES, 37, allowed)
    assert (rows[:, 37:] == -1).all()
    np.testing.assert_allclose(scores[:, :37], np.take_along_axis(QUERIES @ VECTORS.T, rows[:, :37], 1), atol=1e-6)


def test_each_query_ranks_its_own_candidates(mapped: Floats) -> None:
    candidates = np.array([[7, 2, 300, -1], [11, -1, -1, -1], [5, 6, 7, 8]])
    scores, rows = rerank(mapped, candidates, QUERIES[:3], 3)
    products = QUERIES[:3] @ VECTORS.T
    assert rows[0].tolist() == sorted([7, 2, 300], key=lambda row: -products[0, row])
    assert rows[1].tolist() == [11, -1, -1]
    assert rows[2].tolist() == sorted([5, 6, 7, 8], key=lambda row: -products[2, row])[:3]
    assert scores[1, 1] == -np.inf


@pytest.mark.parametrize("row", [400, 1 << 40])
def test_a_row_beyond_the_vectors_is_never_read(row: int) -> None:
    with pytest.raises(ValueError, match=f"row {row} of 400 rows"):
        exact_scan(VECTORS, np.array([1, row]), QUERIES[:1], 1)


def test_wrong_queries_parameters_and_filters_are_refused() -> None:
    index = FlatIndex(VECTORS)
    with pytest.raises(InvalidInput, match="dimension 32"):
        index.search(QUERIES[:, :16], 1)
    with pytest.raises(InvalidInput, match="no search parameters, got nprobe"):
        index.search(QUERIES, 1, params={"nprobe": 2})
    with pytest.raises(InvalidInput, match="k is 0"):
        index.search(QUERIES, 0)
    with pytest.raises(ValueError, match="for 400 rows"):
        index.search(QUERIES, 1, allowed=np.ones(399, bool))
    with pytest.raises(ValueError, match="not float32 rows"):
        FlatIndex(VECTORS.T)
    assert index.search(QUERIES[:1], 1)[1].tolist() == brute_force(VECTORS, QUERIES[:1], 1)


def test_a_scan_leaves_the_interpreter_to_others() -> None:
    vectors = np.zeros((40_000, 256), np.float32)
    ended = threading.Event()
    worker = threading.Thread(target=lambda: (FlatIndex(vectors).search(vectors[:10], 5), ended.set()))
    old = sys.getswitchinterval()
    turns = 0
    try:
        sys.setswitchinterval(10)  # without a release of the lock, this thread would wait for the whole scan
        worker.start()
        while not ended.is_set() and not ended.wait(0.001):
            turns += 1
    finally:
        sys.setswitchinterval(old)
    worker.join()
    assert turns > 3


def test_a_search_uses_one_thread() -> None:
    faiss.omp_set_num_threads(2)
    FlatIndex(VECTORS).search(QUERIES, 1)
    assert faiss.omp_get_max_threads() == 1
