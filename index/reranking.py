"""From the candidates of a nearest-neighbour index to the best rows, by their exact vectors.

Nearest-neighbour indexes sum in float32, in an order of their own, or compare codes: their scores differ in the last
bits with the size of the batch, and which of several equal rows they return is open. Candidates are therefore scored
again in float64, one by one, and taken until the last one is clearly worse than the last one wanted.
"""

from typing import NamedTuple

import numpy as np

from index.ann import Allowed, AnnIndex, AnnSpec, SearchParams
from index.items import Embeddings, Rows
from index.rows import RowSet

_MIN_BREADTH = 64
_GROWTH = 8
# Nearer scores than this may be out of order in float32.
_NOISE = 1e-5
_BLOCK = 4096
# Up to this many allowed rows, or this share of all, comparing with each of them is quicker and finds all.
_SCAN_ROWS = 4096
_SCAN_SHARE = 0.05


class Candidates(NamedTuple):
    """The best rows and every row that ties with the last of them: exact scores [n], falling, and rows [n]."""

    scores: Embeddings
    rows: Rows


def best_candidates(
    ann: AnnIndex,
    vectors: Embeddings,
    queries: Embeddings,
    wanted: int,
    *,
    allowed: RowSet | None = None,
    spec: AnnSpec,
    params: SearchParams | None = None,
) -> list[Candidates]:
    """For each query of [Q, D] at least the best `wanted` of the allowed rows of `vectors` [N, D], as far as there are.

    Where the index is approximate, `spec` says how many candidates are scored exactly for these.
    """
    total = ann.size if allowed is None else allowed.count
    wanted = min(wanted, total)
    if wanted == 0:
        return [Candidates(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries]
    if allowed is not None and total <= max(_SCAN_ROWS, _SCAN_SHARE * ann.size):
        return [_scan(vectors, allowed.rows, query, wanted) for query in queries]
    breadth = _breadth(spec.candidates(wanted), total) if ann.exact else min(spec.candidates(wanted), total)
    mask = None if allowed is None else allowed.mask
    scores, rows = ann.search(queries, breadth, allowed=mask, params=params)
    best = []
    for query, query_scores, query_rows in zip(queries, scores, rows, strict=True):
        found = query_rows >= 0
        if found.sum() < wanted:  # An approximate index may miss rows that exist, above all under a filter.
            everything = np.arange(ann.size) if allowed is None else allowed.rows
            best.append(_scan(vectors, everything, query, wanted))
        elif ann.exact:
            best.append(_settled(ann, vectors, query, query_scores[found], query_rows[found], wanted, total, mask))
        else:
            best.append(_scan(vectors, query_rows[found], query, wanted))
    return best


def exact_scores(vectors: Embeddings, query: Embeddings, rows: Rows) -> Embeddings:
    """Inner products [n] of a query [D] with rows [n]; each row is summed alone, so that equal rows score equally."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):  # Deep pages ask for many rows: in blocks their float64 copies are small.
        block = slice(start, start + _BLOCK)
        scores[block] = (vectors[rows[block]].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    return scores


def _breadth(wanted: int, size: int) -> int:
    """A power of two well above `wanted`: neighbouring pages then ask an approximate index the same question."""
    return min(max(_MIN_BREADTH, 2 << wanted.bit_length()), size)


def _settled(
    ann: AnnIndex,
    vectors: Embeddings,
    query: Embeddings,
    scores: Embeddings,
    rows: Rows,
    wanted: int,
    total: int,
    mask: Allowed | None,
) -> Candidates:
    while len(rows) < total and scores[wanted - 1] - scores[-1] <= _NOISE:
        (scores,), (rows,) = ann.search(query[None], min(_GROWTH * len(rows), total), allowed=mask)
    return _ranked(vectors, query, rows, wanted)


def _scan(vectors: Embeddings, rows: Rows, query: Embeddings, wanted: int) -> Candidates:
    """Compare with every row of `rows`, in float32 first: few of them need the exact score."""
    rough = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        rough[block] = vectors[rows[block]] @ query
    lowest = np.partition(rough, -wanted)[-wanted] - _NOISE
    return _ranked(vectors, query, rows[rough >= lowest], wanted)


def _ranked(vectors: Embeddings, query: Embeddings, rows: Rows, wanted: int) -> Candidates:
    rows = np.sort(rows)
    scores = exact_scores(vectors, query, rows)
    order = np.argsort(-scores, kind="stable")
    last = scores[order[wanted - 1]]
    kept = order[: np.searchsorted(-scores[order], -last, side="right")]
    return Candidates(scores[kept], rows[kept])
