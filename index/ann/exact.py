"""Exact inner products with rows of an array in memory or memory-mapped: no copy of the rows, one thread, no GIL."""

from typing import Any

import faiss
import numpy as np

from index.ann.protocol import Allowed
from index.items import Embeddings, Rows
from model.errors import InvalidInput


def scan(
    vectors: Embeddings, queries: Embeddings, k: int, *, allowed: Allowed | None = None
) -> tuple[Embeddings, Rows]:
    """Scores [Q, k], falling, and rows [Q, k] of the best among all allowed rows of vectors [N, D]."""
    queries = checked_queries(queries, dimension=vectors.shape[1])
    scores, rows = nothing_found(len(queries), k)
    width = min(k, len(vectors))
    found, at = np.empty((len(queries), width), np.float32), np.empty((len(queries), width), np.int64)
    if found.size:
        selection = () if allowed is None else (selector(allowed, len(vectors)),)
        sizes = (vectors.shape[1], len(queries), len(vectors), width)
        faiss.omp_set_num_threads(1)
        faiss.knn_inner_product(*_pointers(queries, vectors), *sizes, *_pointers(found, at), *selection)
    scores[:, :width], rows[:, :width] = marked(found, at)
    return scores, rows


def exact_scan(vectors: Embeddings, rows: Rows, queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
    """Scores [Q, k], falling, and rows [Q, k] of the best among the given rows [n] of vectors [N, D].

    For few rows, such as those that a selective filter lets through: only they are read. Row -1, score -inf where
    there are fewer than k. A row that is -1 ends the list.
    """
    return _scan_listed(vectors, np.ascontiguousarray(rows, np.int64), queries, k, stride=0)


def rerank(vectors: Embeddings, candidates: Rows, queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
    """Scores [Q, k], falling, and rows [Q, k] of the best among each query's own candidates [Q, c].

    Candidates are as `AnnIndex.search` returns them: -1 stands behind the last one only.
    """
    return _scan_listed(vectors, np.ascontiguousarray(candidates, np.int64), queries, k, stride=candidates.shape[1])


def _scan_listed(
    vectors: Embeddings, listed: Rows, queries: Embeddings, k: int, *, stride: int
) -> tuple[Embeddings, Rows]:
    queries = checked_queries(queries, dimension=vectors.shape[1])
    scores, rows = nothing_found(len(queries), k)
    width = min(k, listed.shape[-1])
    found, at = np.empty((len(queries), width), np.float32), np.empty((len(queries), width), np.int64)
    if found.size:
        if listed.max() >= len(vectors):
            raise ValueError(f"row {listed.max()} of {len(vectors)} rows")
        sizes = (vectors.shape[1], len(queries), len(vectors), listed.shape[-1], width)
        faiss.omp_set_num_threads(1)
        arrays = _pointers(queries, vectors, listed)
        faiss.knn_inner_products_by_idx(*arrays, *sizes, *_pointers(found, at), stride)
    scores[:, :width], rows[:, :width] = marked(found, at)
    return scores, rows


def checked_queries(queries: Embeddings, *, dimension: int) -> Embeddings:
    """The queries as faiss takes them, [Q, D] float32 in one piece; raises InvalidInput for another shape."""
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise InvalidInput(f"queries of shape {list(queries.shape)} do not fit an index of dimension {dimension}")
    return np.ascontiguousarray(queries, np.float32)


def selector(allowed: Allowed, rows: int) -> Any:
    """A faiss selector of the allowed rows, one bit a row; raises ValueError for another number of rows."""
    if allowed.shape != (rows,):
        raise ValueError(f"a filter of shape {list(allowed.shape)} for {rows} rows")
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def nothing_found(queries: int, k: int) -> tuple[Embeddings, Rows]:
    """Scores and rows [Q, k] of which none exists; raises InvalidInput for k < 1."""
    if k < 1:
        raise InvalidInput(f"k is {k}; ask for at least one row")
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


def marked(scores: Embeddings, rows: Rows) -> tuple[Embeddings, Rows]:
    """The same with -inf where faiss found no row: it leaves the lowest float, or what the kind of index has there."""
    scores[rows < 0] = -np.inf
    return scores, rows


def _pointers(*arrays: Any) -> list[Any]:
    return [faiss.swig_ptr(array) for array in arrays]
