"""Is one model better than another, or did the queries fall well? A paired bootstrap over the queries.

An image is drawn with all of its captions, which are no independent queries, and for both models at once (Koehn, EMNLP
2004, and Sakai, SIGIR 2006, on why paired).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.metrics.retrieval import RECALL_DEPTHS, Scores, image_to_text_ranks, text_to_image_ranks

RESAMPLES = 10_000
_RESAMPLES_AT_ONCE = 500  # 20 MB of counts for the 5,000 images of COCO's test split

Floats = NDArray[np.float64]


class Ranks(NamedTuple):
    """Of each query of a split the rank of its first positive, 0 is best."""

    image_to_text: NDArray[np.int64]  # [N]
    text_to_image: NDArray[np.int64]  # [M]
    image_of_caption: NDArray[np.int64]  # [M], from 0 to N - 1


class Difference(NamedTuple):
    """Of two figures, with the bounds between which 95 % of the resampled differences lie."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the bounds leave out zero."""
        return self.low > 0 or self.high < 0


def ranks_of(similarity: Scores, image_of_caption: NDArray[np.int64]) -> Ranks:
    """The ranks of both directions in a similarity matrix [N, M]."""
    return Ranks(
        image_to_text_ranks(similarity, image_of_caption),
        text_to_image_ranks(similarity, image_of_caption),
        image_of_caption,
    )


def recall_differences(
    first: Sequence[Ranks], second: Sequence[Ranks], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Difference]:
    """The six recalls and `rsum` of the models `first` less those of `second`, on the same queries; means over seeds.

    Named as `retrieval_metrics` does. All models rank the same N images with at least one caption each.
    """
    captions = np.bincount(first[0].image_of_caption, minlength=len(first[0].image_to_text)).astype(np.float64)  # [N]
    gains = np.mean([_hits(ranks) for ranks in first], axis=0) - np.mean([_hits(ranks) for ranks in second], axis=0)
    found = np.array([*gains[0].sum(axis=1) / len(captions), *gains[1].sum(axis=1) / captions.sum()])  # [6]
    drawn = _resampled(gains, captions, resamples, seed)  # [resamples, 6]
    names = [f"{side}_r@{depth}" for side in ("image_to_text", "text_to_image") for depth in RECALL_DEPTHS]
    differences = {name: _difference(found[place], drawn[:, place]) for place, name in enumerate(names)}
    return {**differences, "rsum": _difference(found.sum(), drawn.sum(axis=1))}


def _hits(ranks: Ranks) -> Floats:
    """Of each image its own hits and the sum of those of its captions, 0 or 100 a query [2, 3, N]."""
    own = [100.0 * (ranks.image_to_text < depth) for depth in RECALL_DEPTHS]
    captions = [
        np.bincount(ranks.image_of_caption, 100.0 * (ranks.text_to_image < depth), len(ranks.image_to_text))
        for depth in RECALL_DEPTHS
    ]
    return np.array([own, captions])


def _resampled(gains: Floats, captions: Floats, resamples: int, seed: int) -> Floats:
    """Differences [resamples, 6] over as many images as there are, drawn with replacement."""
    generator, count = np.random.default_rng(seed), len(captions)
    parts = []
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        size = min(_RESAMPLES_AT_ONCE, resamples - start)
        drawn = generator.multinomial(count, np.full(count, 1 / count), size).astype(np.float64)  # [size, N]
        of_captions = (drawn @ gains[1].T) / (drawn @ captions)[:, None]
        parts.append(np.concatenate([drawn @ gains[0].T / count, of_captions], axis=1))
    return np.concatenate(parts)


def _difference(found: float, drawn: Floats) -> Difference:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Difference(float(found), float(low), float(high))
