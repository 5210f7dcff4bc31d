"""Does a model bind attributes and relations to the right objects?

A soft negative of a caption shows the same kinds of object and swaps one thing: an attribute (colour, size, count,
place, time) or a relation. Together with the holders, the images of the same family for which the caption is true,
they are the whole family of the caption's image. A model that sees only a bag of objects cannot tell them apart.

Two figures, text to image, on 0-100:

- `binding_accuracy`, the headline: share of captions with soft negatives for which a holder is before every soft
  negative, which is recall@1 in a gallery of the family alone. It is what a person who searches meets, its unit is the
  query as with every other recall, and one wrong image in front is a wrong answer however many others stand behind.
- `binding_pairs`: share of all pairs of a holder and a soft negative that are in the right order. A random score has
  exactly 50, whatever the number of soft negatives, so it compares data sets and swaps of unequal size.

Both are also computed per swap, against the soft negatives of this swap alone. A tie is not "before".
"""

from collections.abc import Mapping

import numpy as np

from training.metrics.retrieval import Relevance, Scores


def binding_metrics(
    similarity: Scores, holders: Relevance, soft_negatives: Mapping[str, Relevance]
) -> dict[str, float]:
    """`binding_accuracy` and `binding_pairs`, then the same with `_SWAP` for every swap that occurs.

    `similarity` and `holders` are [N, M], as is each matrix of `soft_negatives`, by the name of the swap. Every caption
    with a soft negative needs a holder, and there has to be one such caption.
    """
    everything = np.logical_or.reduce(list(soft_negatives.values()))
    groups = {"": everything, **{f"_{swap}": negatives for swap, negatives in soft_negatives.items()}}
    metrics: dict[str, float] = {}
    for suffix, negatives in groups.items():
        if negatives.any():
            metrics[f"binding_accuracy{suffix}"] = _all_at_once(similarity, holders, negatives)
            metrics[f"binding_pairs{suffix}"] = _pairwise(similarity, holders, negatives)
    return metrics


def _all_at_once(similarity: Scores, holders: Relevance, negatives: Relevance) -> float:
    challenged = negatives.any(axis=0)  # [M]
    best = similarity.max(axis=0, where=holders, initial=-np.inf)
    hardest = similarity.max(axis=0, where=negatives, initial=-np.inf)
    return float(100.0 * np.mean((best > hardest)[challenged]))


def _pairwise(similarity: Scores, holders: Relevance, negatives: Relevance) -> float:
    images, captions = np.nonzero(negatives)
    before = similarity[:, captions] > similarity[images, captions]  # [N, soft negatives]
    return float(100.0 * np.mean(before[holders[:, captions]]))
