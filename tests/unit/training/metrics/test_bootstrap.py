"""The paired bootstrap against a slow one, image by image."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.metrics import Ranks, ranks_of, recall_differences, retrieval_metrics

IMAGE_OF_CAPTION = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 5])
RECALLS = [f"{side}_r@{depth}" for side in ("image_to_text", "text_to_image") for depth in (1, 5, 10)]


def similarity(seed: int, signal: float) -> NDArray[np.float64]:
    scores = np.random.default_rng(seed).normal(size=(6, 10))
    scores[IMAGE_OF_CAPTION, np.arange(10)] += signal
    return scores


def slow(first: Ranks, second: Ranks, resamples: int) -> NDArray[np.float64]:
    """Differences of text-to-image recall@1 over images drawn one by one, with all of their captions."""
    generator, found = np.random.default_rng(1), []
    gain = (first.text_to_image < 1).astype(float) - (second.text_to_image < 1)
    for _ in range(resamples):
        captions = [np.flatnonzero(first.image_of_caption == image) for image in generator.integers(0, 6, 6)]
        found.append(100 * gain[np.concatenate(captions)].mean())
    return np.array(found)


def test_differences_are_those_of_the_metrics() -> None:
    scores = similarity(0, 2.0), similarity(1, 0.0)
    first, second = (retrieval_metrics(one, IMAGE_OF_CAPTION) for one in scores)
    found = recall_differences(*([ranks_of(one, IMAGE_OF_CAPTION)] for one in scores))
    assert set(found) == {*RECALLS, "rsum"}
    for name, difference in found.items():
        assert difference.mean == pytest.approx(first[name] - second[name])
        assert difference.low <= difference.mean <= difference.high


def test_bounds_are_those_of_a_slow_bootstrap() -> None:
    first, second = (ranks_of(similarity(seed, signal), IMAGE_OF_CAPTION) for seed, signal in ((0, 2.0), (1, 0.0)))
    found = recall_differences([first], [second])["text_to_image_r@1"]
    low, high = np.percentile(slow(first, second, 4000), (2.5, 97.5))
    assert (found.low, found.high) == (pytest.approx(low, abs=4), pytest.approx(high, abs=4))
    assert found.high - found.low > 20


def test_equal_models_differ_by_nothing_and_much_better_ones_clearly() -> None:
    bad, good = ranks_of(similarity(1, -9.0), IMAGE_OF_CAPTION), ranks_of(similarity(1, 9.0), IMAGE_OF_CAPTION)
    assert recall_differences([bad], [bad])["rsum"] == (0, 0, 0)
    assert not recall_differences([bad], [bad])["rsum"].is_clear
    assert recall_differences([good], [bad])["rsum"].is_clear
    assert recall_differences([bad], [good])["rsum"].high < 0
    assert recall_differences([good, bad], [bad, good])["rsum"] == (0, 0, 0)
