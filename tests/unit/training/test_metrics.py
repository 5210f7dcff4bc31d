"""Retrieval metrics against obvious sorting."""

import numpy as np
import pytest

from training.metrics import expert_tau_c, image_to_text_ranks, retrieval_metrics, text_to_image_ranks


def test_ranks_equal_sorting() -> None:
    generator = np.random.default_rng(0)
    similarity = generator.normal(size=(6, 15)).astype(np.float32)
    image_of_caption = generator.permutation(np.repeat(np.arange(6), [1, 2, 3, 4, 3, 2]))
    for image in range(6):
        order = np.argsort(-similarity[image])
        expected = min(int(np.where(order == c)[0][0]) for c in np.where(image_of_caption == image)[0])
        assert image_to_text_ranks(similarity, image_of_caption)[image] == expected
    for caption in range(15):
        order = np.argsort(-similarity[:, caption])
        assert text_to_image_ranks(similarity, image_of_caption)[caption] == list(order).index(
            image_of_caption[caption]
        )


def test_ties_never_flatter() -> None:
    similarity = np.zeros((3, 6), np.float32)
    metrics = retrieval_metrics(similarity, np.repeat(np.arange(3), 2))
    assert metrics["image_to_text_r@1"] == 0.0
    assert metrics["text_to_image_r@1"] == 0.0
    assert metrics["text_to_image_median_rank"] == 3.0


def test_perfect_similarity_has_the_largest_rsum() -> None:
    metrics = retrieval_metrics(np.eye(12, dtype=np.float32).repeat(5, axis=1), np.repeat(np.arange(12), 5))
    assert metrics["rsum"] == 600.0
    assert metrics["image_to_text_median_rank"] == metrics["text_to_image_median_rank"] == 1.0


def slow_tau_c(first: list[float], second: list[int]) -> float:
    concordant = discordant = 0
    for i in range(len(first)):
        for j in range(i):
            product = (first[i] - first[j]) * (second[i] - second[j])
            concordant, discordant = concordant + (product > 0), discordant + (product < 0)
    smaller = min(len(set(first)), len(set(second)))
    return 100 * 2 * (concordant - discordant) / (len(first) ** 2 * (smaller - 1) / smaller)


def test_tau_c_equals_counting_pairs() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(size=10).astype(np.float32)
    judgments = generator.integers(1, 5, size=(10, 3))
    expected = slow_tau_c(np.repeat(scores, 3).tolist(), judgments.reshape(-1).tolist())
    assert expert_tau_c(scores, judgments) == pytest.approx(expected, abs=1e-4)
