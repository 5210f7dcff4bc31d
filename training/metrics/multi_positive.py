"""Metrics for queries with several positives: mAP@R, R-Precision and recall@k, on 0-100.

R is the number of a query's positives. R-Precision is the share of positives among the first R items; mAP@R is the
mean, over the first R places, of the precision there where a positive stands and of 0 elsewhere (Musgrave et al., "A
Metric Learning Reality Check", ECCV 2020; for captions: Chun et al., "ECCV Caption", ECCV 2022).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from training.metrics.retrieval import Relevance, Scores, recalls

# Each pair is compared with the whole gallery: what bounds the memory, and small enough for the cache of a core.
PAIRS_AT_ONCE = 64


class RankedPositives(NamedTuple):
    """The P pairs of a query and a positive, by query and then by rank."""

    queries: NDArray[np.int64]  # [P], ascending
    ranks: NDArray[np.int64]  # [P], place of the positive among all items of the gallery, 0 is best
    places: NDArray[np.int64]  # [P], its place among the positives of its query


def multi_positive_metrics(
    similarity: Scores, relevant: Relevance, positives: NDArray[np.int64] | None = None
) -> dict[str, float]:
    """`map@r`, `r_precision`, `r@1`, `r@5` and `r@10` of similarity and relevance [Q, items of the gallery].

    `positives` [Q] is R where a query has positives that the gallery lacks: they are never found, and so count against
    it. Raises DataError for a query without a positive.
    """
    r = relevant.sum(axis=1) if positives is None else positives
    if not r.all():
        raise DataError(f"query {np.flatnonzero(r == 0)[0]} has no positive: leave such queries out")
    queries, ranks, places = rank_positives(similarity, relevant)
    found = ranks < r[queries]
    precision = found * (places + 1) / (ranks + 1)
    first = np.full(len(r), similarity.shape[1])
    np.minimum.at(first, queries, ranks)
    return {
        "map@r": _mean_over_queries(precision, queries, r),
        "r_precision": _mean_over_queries(found, queries, r),
        **recalls(first),
    }


def rank_positives(similarity: Scores, relevant: Relevance) -> RankedPositives:
    """The rank of every positive: the irrelevant items that score at least as high, and the positives before it."""
    irrelevant = np.where(relevant, -np.inf, similarity)
    queries, items = np.nonzero(relevant)
    scores = similarity[queries, items]
    blocks = [slice(start, start + PAIRS_AT_ONCE) for start in range(0, len(scores), PAIRS_AT_ONCE)]
    above = [(irrelevant[queries[block]] >= scores[block, None]).sum(axis=1) for block in blocks]
    higher = np.concatenate(above)
    order = np.lexsort((higher, queries))
    first_pair = np.searchsorted(queries, queries)  # [P], where the pairs of the same query begin
    places = np.arange(len(queries)) - first_pair
    return RankedPositives(queries, higher[order] + places, places)


def _mean_over_queries(values: Scores | Relevance, queries: NDArray[np.int64], r: NDArray[np.int64]) -> float:
    """Each query's sum over its positives, divided by its R; the mean of these, on 0-100."""
    return float(100.0 * np.mean(np.bincount(queries, weights=values, minlength=len(r)) / r))
