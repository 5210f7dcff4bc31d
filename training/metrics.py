"""Retrieval metrics: pure functions of a similarity matrix. Recalls are on 0-100, rSum on 0-600."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

RECALL_DEPTHS = (1, 5, 10)


def image_to_text_ranks(similarity: NDArray[np.float32], image_of_caption: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per image, how many captions score higher than its best own caption: similarity [N, M] gives [N], 0 is best.

    A caption of another image that scores exactly the same counts as higher, so ties never flatter a model.
    """
    own = image_of_caption[None, :] == np.arange(len(similarity))[:, None]
    best = np.where(own, similarity, -np.inf).max(axis=1, keepdims=True)
    ranks: NDArray[np.int64] = ((similarity >= best) & ~own).sum(axis=1)
    return ranks


def text_to_image_ranks(similarity: NDArray[np.float32], image_of_caption: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per caption, how many images score at least as high as its own: similarity [N, M] gives [M]."""
    positive = similarity[image_of_caption, np.arange(similarity.shape[1])]
    ranks: NDArray[np.int64] = (similarity >= positive).sum(axis=0) - 1
    return ranks


def recall_at(ranks: NDArray[np.int64], depth: int) -> float:
    """Share of queries whose first positive is among the first `depth`, on 0-100."""
    return float(100.0 * np.mean(ranks < depth))


def retrieval_metrics(similarity: NDArray[np.float32], image_of_caption: NDArray[np.int64]) -> dict[str, float]:
    """`image_to_text_r@1` ... `text_to_image_r@10`, median ranks (1 is best) and `rsum`."""
    directions = {
        "image_to_text": image_to_text_ranks(similarity, image_of_caption),
        "text_to_image": text_to_image_ranks(similarity, image_of_caption),
    }
    recalls = {
        f"{name}_r@{depth}": recall_at(ranks, depth) for name, ranks in directions.items() for depth in RECALL_DEPTHS
    }
    medians = {f"{name}_median_rank": float(np.median(ranks) + 1) for name, ranks in directions.items()}
    return {**recalls, **medians, "rsum": sum(recalls.values())}


def expert_tau_c(scores: NDArray[np.float32], judgments: NDArray[np.int64]) -> float:
    """Kendall tau-c (x 100) of scores [P] with the judgments [P, J] of J people, each judgment counted by itself."""
    repeated = np.repeat(scores, judgments.shape[1])
    return float(100.0 * kendalltau(repeated, judgments.reshape(-1), variant="c").statistic)
