"""Recall and median rank. Recalls are on 0-100, rSum on 0-600.

An irrelevant item that scores exactly the same as a relevant one counts as higher, so ties never flatter a model.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

RECALL_DEPTHS = (1, 5, 10)
FOLDS = 5
# What bounds the memory: COCO's whole test split has 125 million scores.
QUERIES_AT_ONCE = 512

Scores = NDArray[np.floating[Any]]
Relevance = NDArray[np.bool_]


def first_positive_ranks(similarity: Scores, relevant: Relevance) -> NDArray[np.int64]:
    """Per query, how many irrelevant items score at least as high as its best relevant one.

    Both arguments are [Q, items of the gallery]; returns [Q], 0 is best.
    """
    blocks = [slice(start, start + QUERIES_AT_ONCE) for start in range(0, len(similarity), QUERIES_AT_ONCE)]
    return np.concatenate([_first_positive_ranks(similarity[block], relevant[block]) for block in blocks])


def _first_positive_ranks(similarity: Scores, relevant: Relevance) -> NDArray[np.int64]:
    best = similarity.max(axis=1, keepdims=True, where=relevant, initial=-np.inf)  # [Q, 1]
    ranks: NDArray[np.int64] = ((similarity >= best) & ~relevant).sum(axis=1)
    return ranks


def image_to_text_ranks(similarity: Scores, image_of_caption: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per image, how many captions of others score at least as high as its best own: [N, M] to [N], 0 is best."""
    own = image_of_caption[None, :] == np.arange(len(similarity))[:, None]
    return first_positive_ranks(similarity, own)


def text_to_image_ranks(similarity: Scores, image_of_caption: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per caption, how many images score at least as high as its own: similarity [N, M] to [M]."""
    positive = similarity[image_of_caption, np.arange(similarity.shape[1])]
    ranks: NDArray[np.int64] = (similarity >= positive).sum(axis=0) - 1
    return ranks


def recall_at(ranks: NDArray[np.int64], depth: int) -> float:
    """Share of queries whose first positive is among the first `depth`, on 0-100."""
    return float(100.0 * np.mean(ranks < depth))


def recalls(ranks: NDArray[np.int64]) -> dict[str, float]:
    """`r@1`, `r@5` and `r@10` of the ranks [Q] of first positives."""
    return {f"r@{depth}": recall_at(ranks, depth) for depth in RECALL_DEPTHS}


def retrieval_metrics(similarity: Scores, image_of_caption: NDArray[np.int64]) -> dict[str, float]:
    """`image_to_text_r@1` ... `text_to_image_r@10`, median ranks (1 is best) and `rsum`."""
    directions = {
        "image_to_text": image_to_text_ranks(similarity, image_of_caption),
        "text_to_image": text_to_image_ranks(similarity, image_of_caption),
    }
    six = {f"{name}_{depth}": share for name, ranks in directions.items() for depth, share in recalls(ranks).items()}
    medians = {f"{name}_median_rank": float(np.median(ranks) + 1) for name, ranks in directions.items()}
    return {**six, **medians, "rsum": sum(six.values())}


def five_fold_metrics(similarity: Scores, image_of_caption: NDArray[np.int64]) -> dict[str, float]:
    """The mean of `retrieval_metrics` over five runs of consecutive images, each with its captions alone.

    COCO 1K is this of the 5,000 images of COCO's test split. Needs at least five images.
    """
    folds = []
    for images in np.array_split(np.arange(len(similarity)), FOLDS):
        captions = np.flatnonzero(np.isin(image_of_caption, images))
        own = image_of_caption[captions] - images[0]
        folds.append(retrieval_metrics(similarity[np.ix_(images, captions)], own))
    return {name: float(np.mean([fold[name] for fold in folds])) for name in folds[0]}
