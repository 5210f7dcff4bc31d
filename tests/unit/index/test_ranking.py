from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.engines import Embeddings, Rows
from index.engines import faiss as faiss_engine
from index.engines.faiss import FaissEngine
from index.ranking import best_rows
from tests.unit.index.drafts import unit_rows


def slow_best_rows(rows: NDArray[np.float32], query: NDArray[np.float32], depth: int) -> list[int]:
    """Sort everything by falling score, then by row."""
    scores = [np.float32(sum(float(a) * float(b) for a, b in zip(row, query, strict=True))) for row in rows]
    return sorted(range(len(rows)), key=lambda row: (-scores[row], row))[:depth]


class ShufflingEngine:
    """An exact engine that breaks ties at random and adds noise to its scores, as engines may."""

    kind, exact = "shuffling", True

    def __init__(self, rows: Embeddings) -> None:
        self.rows = rows
        self.size, self.dimension = rows.shape
        self.random = np.random.default_rng(0)
        self.asked: list[int] = []

    def search(self, queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        self.asked.append(k)
        scores = queries @ self.rows.T + self.random.uniform(-1e-6, 1e-6, (len(queries), self.size))
        order = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, order, axis=1).astype(np.float32), order.astype(np.int64)

    def vectors(self, rows: Rows) -> Embeddings:
        return self.rows[rows]

    def write(self, path: Path) -> None:
        raise NotImplementedError(path)


@given(
    grid=st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1)), min_size=1, max_size=150),
    depth=st.integers(1, 200),
)
def test_ties_are_broken_by_row_whatever_the_engine_does(grid: list[tuple[int, int]], depth: int) -> None:
    rows = np.array(grid, np.float32)
    query = np.array([0.6, 0.8], np.float32)
    for engine in (FaissEngine.build(rows), ShufflingEngine(rows)):
        ((scores, found),) = best_rows(engine, query[None], depth)
        assert found.tolist() == slow_best_rows(rows, query, depth)
        np.testing.assert_array_equal(scores, (rows[found].astype(float) @ query.astype(float)).astype(np.float32))


def test_a_plateau_wider_than_the_first_look_is_seen_whole() -> None:
    rows = np.tile(unit_rows(1), (3000, 1))
    rows[::1000] = -rows[0]
    engine = ShufflingEngine(rows)
    ((_, found),) = best_rows(engine, rows[1:2], 5)
    assert found.tolist() == [1, 2, 3, 4, 5]
    assert engine.asked == [64, 512, 3000]


def test_no_second_look_without_a_tie() -> None:
    engine = ShufflingEngine(unit_rows(3000))
    best_rows(engine, unit_rows(4, seed=2), 10)
    assert engine.asked == [64]


def test_an_answer_is_the_same_alone_and_in_a_batch() -> None:
    engine = FaissEngine.build(unit_rows(2000))
    queries = unit_rows(40, seed=4)
    for query, (scores, rows) in zip(queries, best_rows(engine, queries, 20), strict=True):
        ((alone_scores, alone_rows),) = best_rows(engine, query[None], 20)
        np.testing.assert_array_equal(alone_rows, rows)
        np.testing.assert_array_equal(alone_scores, scores)


def test_a_graph_that_finds_too_few_is_asked_until_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_engine, "FLAT_MAX_ROWS", 100)
    rows = np.tile(unit_rows(1), (2500, 1))  # A graph of equal rows falls apart.
    engine = FaissEngine.build(rows)
    ((_, found),) = best_rows(engine, rows[:1], 300)
    assert found.tolist() == list(range(300))


def test_deep_pages_are_scored_in_blocks_that_fit_together() -> None:
    rows, query = unit_rows(9000), unit_rows(1, seed=8)
    ((scores, found),) = best_rows(FaissEngine.build(rows), query, 9000)
    assert sorted(found.tolist()) == list(range(9000))
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(scores, rows[found] @ query[0], atol=1e-6)
