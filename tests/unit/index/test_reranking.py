"""From candidates to the best rows: exact scores, ties, few allowed rows, and indexes that find too little."""

import numpy as np
import pytest
from numpy.typing import NDArray

from index.ann import FLAT, AnnSpec, SearchParams
from index.items import Embeddings, Rows
from index.reranking import best_candidates, exact_scores
from index.rows import RowSet
from tests.pending import unit_rows

ROWS, DIMENSION = 300, 8


class Sloppy:
    """An index that is wrong in the last bits, or that finds only some of the rows."""

    def __init__(self, vectors: Embeddings, *, exact: bool, every: int = 1) -> None:
        self.vectors, self.exact, self.every = vectors, exact, every
        self.kind, self.size, self.dimension = "sloppy", len(vectors), vectors.shape[1]
        self.asked: list[int] = []

    def search(
        self,
        queries: Embeddings,
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
        params: SearchParams | None = None,
    ) -> tuple[Embeddings, Rows]:
        assert params is None
        self.asked.append(k)
        noise = np.random.default_rng(len(self.asked)).uniform(-2e-6, 2e-6, (len(queries), self.size))
        scores = (queries @ self.vectors.T + noise).astype(np.float32)
        found = np.arange(self.size) % self.every == 0
        scores[:, ~(found if allowed is None else found & allowed)] = -np.inf
        order = np.argsort(-scores, axis=1)[:, :k]
        best = np.take_along_axis(scores, order, 1)
        return best, np.where(np.isinf(best), -1, order).astype(np.int64)

    def write(self, path: object) -> None:
        raise AssertionError(path)

    def close(self) -> None:
        raise AssertionError


def spec(kind: str, rerank: int = 1) -> AnnSpec:
    return AnnSpec(
        kind=kind,
        rows=ROWS,
        dimension=DIMENSION,
        build={} if kind == FLAT else {"nlist": 4},
        rerank=rerank,
        recall_at_10=1.0,
        ms_per_query=1.0,
        bytes_per_vector=1.0,
    )


def slow_best(vectors: Embeddings, query: Embeddings, wanted: int, allowed: RowSet | None) -> set[int]:
    """The best rows and those that tie with the last of them, by sorting all."""
    rows = np.arange(len(vectors)) if allowed is None else allowed.rows
    scores = exact_scores(vectors, query, rows)
    if not wanted or not len(rows):
        return set()
    lowest = np.sort(scores)[::-1][min(wanted, len(rows)) - 1]
    return set(rows[scores >= lowest].tolist())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wanted", [0, 1, 7, 100, 1000])
@pytest.mark.parametrize("share", [None, 0.0, 0.01, 0.5])
def test_an_exact_index_finds_the_best_and_their_ties(seed: int, wanted: int, share: float | None) -> None:
    random = np.random.default_rng(seed)
    vectors = unit_rows(ROWS, seed=seed)[random.integers(0, ROWS // 3, ROWS)]  # every row about three times
    queries = unit_rows(3, seed=seed + 50)
    allowed = None if share is None else RowSet(random.random(ROWS) < share)
    index = Sloppy(vectors, exact=True)
    found = best_candidates(index, vectors, queries, wanted, allowed=allowed, spec=spec(FLAT))
    for query, (scores, rows) in zip(queries, found, strict=True):
        assert set(rows.tolist()) == slow_best(vectors, query, wanted, allowed)
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_array_equal(scores, exact_scores(vectors, query, rows))


def test_equal_rows_without_end_are_all_found() -> None:
    vectors = np.repeat(unit_rows(1), ROWS, axis=0)
    ((scores, rows),) = best_candidates(Sloppy(vectors, exact=True), vectors, vectors[:1], 1, spec=spec(FLAT))
    assert sorted(rows.tolist()) == list(range(ROWS))
    assert len(set(scores.tolist())) == 1


def test_an_index_that_finds_too_little_is_not_believed() -> None:
    vectors = unit_rows(ROWS)
    index = Sloppy(vectors, exact=False, every=50)  # 6 of 300 rows
    ((_, rows),) = best_candidates(index, vectors, unit_rows(1, seed=9), 20, spec=spec("sloppy"))
    assert set(rows.tolist()) == slow_best(vectors, unit_rows(1, seed=9)[0], 20, None)


def test_candidates_of_an_approximate_index_are_scored_exactly() -> None:
    vectors = unit_rows(ROWS)
    index = Sloppy(vectors, exact=False, every=2)
    ((scores, rows),) = best_candidates(index, vectors, unit_rows(1, seed=9), 10, spec=spec("sloppy", rerank=4))
    assert index.asked == [40]
    assert (rows % 2 == 0).all(), "it knows no others"
    np.testing.assert_array_equal(scores, exact_scores(vectors, unit_rows(1, seed=9)[0], rows))


def test_few_allowed_rows_are_compared_without_the_index() -> None:
    vectors = unit_rows(ROWS)
    index = Sloppy(vectors, exact=False, every=50)
    allowed = RowSet(np.arange(ROWS) < 12)
    ((_, rows),) = best_candidates(index, vectors, unit_rows(1, seed=9), 50, allowed=allowed, spec=spec("sloppy"))
    assert sorted(rows.tolist()) == list(range(12))
    assert index.asked == []


@pytest.mark.parametrize("deleted", [[], [0, 5], list(range(ROWS))])
def test_row_sets(deleted: list[int]) -> None:
    rows = RowSet.without(ROWS, np.array(deleted, np.int64))
    if rows is None:
        assert deleted == []
        return
    assert rows.count == ROWS - len(deleted) == len(rows.rows)
    assert not set(deleted) & set(rows.rows.tolist())
    assert RowSet(np.ones(ROWS, np.bool_)).intersection(rows).count == rows.count
