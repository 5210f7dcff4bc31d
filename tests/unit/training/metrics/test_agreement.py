"""Kendall's tau-c against counting pairs."""

import numpy as np
import pytest

from training.metrics import expert_tau_c


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
