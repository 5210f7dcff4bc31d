"""Retrieval metrics: pure functions of a similarity matrix and of what is relevant to what, on 0-100."""

from training.metrics.agreement import expert_tau_c
from training.metrics.binding import binding_metrics
from training.metrics.bootstrap import Difference, Ranks, ranks_of, recall_differences
from training.metrics.multi_positive import multi_positive_metrics
from training.metrics.retrieval import (
    RECALL_DEPTHS,
    five_fold_metrics,
    image_to_text_ranks,
    recall_at,
    recalls,
    retrieval_metrics,
    text_to_image_ranks,
)

__all__ = [
    "RECALL_DEPTHS",
    "Difference",
    "Ranks",
    "binding_metrics",
    "expert_tau_c",
    "five_fold_metrics",
    "image_to_text_ranks",
    "multi_positive_metrics",
    "ranks_of",
    "recall_at",
    "recall_differences",
    "recalls",
    "retrieval_metrics",
    "text_to_image_ranks",
]
