"""Binding accuracy against families walked through caption by caption."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.metrics import binding_metrics

Matrix = NDArray[np.bool_]


def random_truth(generator: np.random.Generator) -> tuple[Matrix, dict[str, Matrix]]:
    """Captions of 3 families of 4 images: some hold, the others are soft negatives of one swap or the other."""
    holders, attribute, relation = (np.zeros((12, 30), np.bool_) for _ in range(3))
    for caption in range(30):
        family = 4 * (caption % 3) + generator.permutation(4)
        holding, swaps = generator.integers(1, 5), generator.integers(0, 5)
        holders[family[:holding], caption] = True
        attribute[family[holding:swaps], caption] = True
        relation[family[max(holding, swaps) :], caption] = True
    return holders, {"attribute": attribute, "relation": relation}


def slow_binding(similarity: NDArray[np.float64], holders: Matrix, negatives: Matrix) -> tuple[float, float]:
    right: list[bool] = []
    pairs: list[bool] = []
    for scores, holds, fails in zip(similarity.T, holders.T, negatives.T, strict=True):
        if fails.any():
            right.append(max(scores[holds]) > max(scores[fails]))
            pairs += [good > bad for good in scores[holds] for bad in scores[fails]]
    return 100 * float(np.mean(right)), 100 * float(np.mean(pairs))


@pytest.mark.parametrize("seed", range(5))
def test_binding_equals_walking_through_families(seed: int) -> None:
    generator = np.random.default_rng(seed)
    holders, negatives = random_truth(generator)
    similarity = generator.integers(6, size=holders.shape).astype(np.float64)
    metrics = binding_metrics(similarity, holders, negatives)
    union = negatives["attribute"] | negatives["relation"]
    for suffix, matrix in {"": union, "_attribute": negatives["attribute"], "_relation": negatives["relation"]}.items():
        expected = slow_binding(similarity, holders, matrix)
        assert metrics[f"binding_accuracy{suffix}"] == pytest.approx(expected[0])
        assert metrics[f"binding_pairs{suffix}"] == pytest.approx(expected[1])


def test_a_bag_of_objects_has_no_accuracy_and_ties_never_flatter() -> None:
    holders, negatives = random_truth(np.random.default_rng(0))
    assert set(binding_metrics(np.zeros(holders.shape), holders, negatives).values()) == {0.0}


def test_knowing_the_truth_is_all_right() -> None:
    holders, negatives = random_truth(np.random.default_rng(0))
    assert set(binding_metrics(holders.astype(np.float32), holders, negatives).values()) == {100.0}


def test_images_of_other_families_do_not_matter() -> None:
    holders, negatives = random_truth(np.random.default_rng(1))
    similarity = np.random.default_rng(2).normal(size=holders.shape)
    outside = ~(holders | negatives["attribute"] | negatives["relation"])
    assert binding_metrics(similarity + 9 * outside, holders, negatives) == binding_metrics(
        similarity, holders, negatives
    )


def test_a_swap_that_does_not_occur_is_left_out() -> None:
    holders, negatives = random_truth(np.random.default_rng(0))
    metrics = binding_metrics(np.zeros(holders.shape), holders, {**negatives, "relation": np.zeros_like(holders)})
    assert list(metrics) == [
        "binding_accuracy",
        "binding_pairs",
        "binding_accuracy_attribute",
        "binding_pairs_attribute",
    ]
