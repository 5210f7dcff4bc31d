"""The best rows in an order that holds: the same for every page, batch and thread."""

import numpy as np

from index.engines import Embeddings, Engine, Rows

_MIN_BREADTH = 64
_GROWTH = 8
# Engines sum in float32, in an order of their own: nearer scores than this may be out of order.
_NOISE = 1e-5
_BLOCK = 4096


def best_rows(engine: Engine, queries: Embeddings, depth: int) -> list[tuple[Embeddings, Rows]]:
    """For each query of [Q, D] the scores and rows, each [min(depth, N)], of its best rows; ties by the lower row.

    An engine leaves open which of several equal rows it returns, and its scores differ in the last bits with the size
    of the batch. Candidates are therefore taken until the last one is clearly worse than the last one wanted, and
    scored again in float64, one by one. Exact where the engine is exact.
    """
    wanted = min(depth, engine.size)
    breadth = _breadth(wanted, engine.size)
    scores, rows = engine.search(queries, breadth)
    return [
        _settled(engine, query, query_scores, query_rows, wanted)
        for query, query_scores, query_rows in zip(queries, scores, rows, strict=True)
    ]


def _breadth(wanted: int, size: int) -> int:
    """A power of two well above `wanted`: neighbouring pages then ask an approximate engine the same question."""
    return min(max(_MIN_BREADTH, 2 << wanted.bit_length()), size)


def _settled(engine: Engine, query: Embeddings, scores: Embeddings, rows: Rows, wanted: int) -> tuple[Embeddings, Rows]:
    while len(rows) < engine.size and scores[wanted - 1] - scores[-1] <= _NOISE:
        breadth = min(_GROWTH * len(rows), engine.size)
        (scores,), (rows,) = engine.search(query[None], breadth)
    found = np.sort(rows[rows >= 0])
    exact = _exact_scores(engine, query, found)
    order = np.argsort(-exact, kind="stable")[:wanted]
    return exact[order], found[order]


def _exact_scores(engine: Engine, query: Embeddings, rows: Rows) -> Embeddings:
    """Inner products [n] of a query [D] with rows [n]; each row is summed alone, so that equal rows score equally."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):  # Deep pages ask for many rows: in blocks their float64 copies are small.
        block = slice(start, start + _BLOCK)
        scores[block] = (engine.vectors(rows[block]).astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    return scores
