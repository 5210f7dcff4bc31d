"""Rows and queries as embeddings lie, small and drawn by seed, and the slow search to compare with."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def clustered(rows: int, dimension: int = 32, *, seed: int = 0) -> Floats:
    """Unit rows [N, D] around 20 centres that are the same for every seed."""
    centres = np.random.default_rng(99).normal(size=(20, dimension))
    noise = np.random.default_rng(seed).normal(size=(rows, dimension))
    values = centres[np.arange(rows) % 20] + 0.6 * noise
    unit: Floats = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return unit


def brute_force(vectors: Floats, queries: Floats, k: int, allowed: NDArray[np.bool_] | None = None) -> list[list[int]]:
    """The allowed rows of the k largest inner products of each query, best first; fewer where there are fewer."""
    keep = np.ones(len(vectors), bool) if allowed is None else allowed
    scores = np.where(keep, queries @ vectors.T, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[int(row) for row in found if keep[row]] for found in order]


def mean_recall(found: NDArray[np.int64], expected: list[list[int]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), expected, strict=True)]))
