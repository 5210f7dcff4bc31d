"""Is one recipe better than another, or did the test queries fall well? A paired bootstrap over the queries."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.metrics.retrieval import RECALL_DEPTHS

Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """Of two rSums, with the bounds between which 95 % of the resampled differences lie."""

    mean: float
    low: float
    high: float


def rsum_difference(
    first: Sequence[Path], second: Sequence[Path], *, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """rSum of the runs `first` less that of the runs `second`, each a `ranks.npz` of `write_ranks`, mean over seeds.

    An image is drawn with all of its captions, which are no independent queries, and for all runs at once.
    """
    better, worse = _hits(first), _hits(second)
    of_image, of_captions, captions = better[0] - worse[0], better[1] - worse[1], better[2]
    count = len(of_image)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)  # [resamples, N]
    differences = drawn @ of_image / count + (drawn @ of_captions) / (drawn @ captions)
    low, high = np.percentile(differences, (2.5, 97.5))
    return Difference(float(of_image.mean() + of_captions.sum() / captions.sum()), float(low), float(high))


def _hits(runs: Sequence[Path]) -> tuple[Floats, Floats, Floats]:
    """Of each image its own hits and the sum of its captions' (0-300 a query), means over the runs; its captions."""
    of_image, of_captions = [], []
    for run in runs:
        with np.load(run) as ranks:
            rows = ranks["image_of_caption"]
            of_image.append(_hits_of(ranks["image_to_text"]))
            of_captions.append(np.bincount(rows, weights=_hits_of(ranks["text_to_image"])))
    return np.mean(of_image, axis=0), np.mean(of_captions, axis=0), np.bincount(rows).astype(np.float64)


def _hits_of(ranks: NDArray[np.int64]) -> Floats:
    return 100.0 * sum((ranks < depth).astype(np.float64) for depth in RECALL_DEPTHS)
