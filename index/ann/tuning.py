"""Search parameters chosen by measurement: the cheapest that reach a recall, exact re-ranking included."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from index.ann.exact import rerank, scan
from index.ann.faiss_index import FaissIndex
from index.ann.specs import TUNED_K
from index.items import Embeddings, Rows

MAX_QUERIES = 500
_TIMED_QUERIES = 50
_TIMED_ROUNDS = 3
_MULTIPLIERS = (1, 2, 4, 8, 16, 32)
# Steps of the ladder that are still tried once the recall is reached: a wider search may need fewer candidates.
_FURTHER_STEPS = 4
_NOISE_NORM = 0.75
_SAME_SCORE = 1e-6


@dataclass(frozen=True)
class Trial:
    """Queries [Q, D], the score [Q] that a row must have to be among the best, and the row [Q] that is no answer."""

    vectors: Embeddings
    queries: Embeddings
    least_scores: Embeddings
    k: int
    own_rows: Rows | None


@dataclass(frozen=True)
class Setting:
    """Search parameters, the factor between k and the candidates that are scored exactly, and what they reach.

    `sure` is the mean recall less one standard error, as other queries will come than those of the trial; `ms` is the
    time of a query on one thread, exact scoring included.
    """

    search: Mapping[str, int]
    rerank: int
    recall: float
    sure: float
    ms: float = math.inf


def make_trial(vectors: Embeddings, queries: Embeddings | None, *, seed: int) -> Trial:
    """Compare at most 500 queries [Q, D] with all vectors; without queries, of vectors with noise.

    A query that was made of a vector does not count that vector as an answer.
    """
    rng = np.random.default_rng(seed)
    k = min(TUNED_K, len(vectors))
    if queries is not None and len(queries):
        chosen = np.sort(rng.choice(len(queries), min(MAX_QUERIES, len(queries)), replace=False))
        real = np.ascontiguousarray(queries[chosen], np.float32)
        return Trial(vectors, real, scan(vectors, real, k)[0][:, -1], k, None)
    own = np.sort(rng.choice(len(vectors), min(MAX_QUERIES, len(vectors)), replace=False))
    made = _perturbed(vectors[own], rng)
    k = max(1, min(TUNED_K, len(vectors) - 1))
    best = _without(own, scan(vectors, made, k + 1)[1])
    return Trial(vectors, made, rerank(vectors, best, made, k)[0][:, -1], k, own)


def tune(index: FaissIndex, trial: Trial, recall: float) -> Setting:
    """The setting that takes the least time of those whose recall is surely enough; else the one of most recall."""
    tried: list[Setting] = []
    for search in index.ladder:
        tried.append(_sufficient_multiplier(index, trial, search, recall))
        enough = [setting for setting in tried if setting.sure >= recall]
        if len(enough) > _FURTHER_STEPS or (enough and enough[-1].rerank == 1):
            break
    enough = enough or [max(tried, key=lambda setting: setting.sure)]
    return min(_timed(enough, index, trial), key=lambda setting: setting.ms)


def time_flat(vectors: Embeddings) -> float:
    """Milliseconds of one thread for a query that is compared with every row of vectors [N, D]."""
    return min(_ms_of_each(vectors, lambda query: scan(vectors, query, TUNED_K)) for _ in range(_TIMED_ROUNDS))


def recall_of(scores: Embeddings, least_scores: Embeddings) -> NDArray[np.float64]:
    """Share [Q] of the found scores [Q, k] that belong to the best: equal vectors in either order are both right."""
    return np.asarray((scores >= least_scores[:, None] - _SAME_SCORE).mean(axis=1), np.float64)


def _sufficient_multiplier(index: FaissIndex, trial: Trial, search: Mapping[str, int], recall: float) -> Setting:
    """The fewest candidates that are enough at these parameters; all of them if none are."""
    deepest = min(trial.k * _MULTIPLIERS[-1], index.size)
    candidates = _candidates(index, trial, deepest, search)
    for multiplier in _MULTIPLIERS:
        scores, _ = rerank(trial.vectors, candidates[:, : trial.k * multiplier], trial.queries, trial.k)
        recalls = recall_of(scores, trial.least_scores)
        error = float(recalls.std() / math.sqrt(len(recalls)))
        setting = Setting(search, multiplier, float(recalls.mean()), float(recalls.mean()) - error)
        if setting.sure >= recall:
            break
    return setting


def _candidates(index: FaissIndex, trial: Trial, count: int, search: Mapping[str, int]) -> Rows:
    if trial.own_rows is None:
        return index.search(trial.queries, count, params=search)[1]
    return _without(trial.own_rows, index.search(trial.queries, count + 1, params=search)[1])


def _timed(settings: Sequence[Setting], index: FaissIndex, trial: Trial) -> list[Setting]:
    """The settings with their times; they take turns, so that what else the machine does meets them alike."""
    times: list[list[float]] = [[] for _ in settings]
    for _ in range(_TIMED_ROUNDS):
        for setting, measured in zip(settings, times, strict=True):
            measured.append(_ms_of_each(trial.queries, partial(_search_and_rerank, index, trial, setting)))
    return [replace(setting, ms=min(measured)) for setting, measured in zip(settings, times, strict=True)]


def _search_and_rerank(index: FaissIndex, trial: Trial, setting: Setting, query: Embeddings) -> None:
    _, candidates = index.search(query, trial.k * setting.rerank, params=setting.search)
    rerank(trial.vectors, candidates, query, trial.k)


def _ms_of_each(queries: Embeddings, search: Callable[[Embeddings], object]) -> float:
    queries = queries[:_TIMED_QUERIES]
    start = time.perf_counter()
    for row in range(len(queries)):
        search(queries[row : row + 1])
    return (time.perf_counter() - start) / len(queries) * 1e3


def _perturbed(vectors: Embeddings, rng: np.random.Generator) -> Embeddings:
    noise = rng.standard_normal(vectors.shape, np.float32) * (_NOISE_NORM / math.sqrt(vectors.shape[1]))
    moved = vectors + noise
    unit: Embeddings = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit


def _without(own: Rows, rows: Rows) -> Rows:
    """Rows [Q, n - 1] of [Q, n]: without each query's own row, else without the last."""
    order = np.argsort(rows == own[:, None], axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1)[:, :-1]
