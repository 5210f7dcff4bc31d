"""mAP@R, R-Precision and recall against a ranking walked through item by item."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.errors import DataError
from training.metrics import multi_positive_metrics, retrieval_metrics
from training.metrics.multi_positive import PAIRS_AT_ONCE, rank_positives


def slow_metrics(scores: NDArray[np.float64], relevant: NDArray[np.bool_], r: int) -> dict[str, float]:
    """One query: its items one after the other, among equal scores what is irrelevant first."""
    items = sorted(range(len(scores)), key=lambda item: (-scores[item], relevant[item]))
    hits = [bool(relevant[item]) for item in items]
    precisions = [sum(hits[: place + 1]) / (place + 1) if hits[place] else 0.0 for place in range(min(r, len(hits)))]
    return {
        "map@r": 100 * sum(precisions) / r,
        "r_precision": 100 * sum(hits[:r]) / r,
        **{f"r@{depth}": 100.0 * any(hits[:depth]) for depth in (1, 5, 10)},
    }


def assert_equal_to_slow(
    similarity: NDArray[np.float64], relevant: NDArray[np.bool_], positives: NDArray[np.int64] | None = None
) -> None:
    counts = relevant.sum(axis=1) if positives is None else positives
    slow = [slow_metrics(*query) for query in zip(similarity, relevant, counts, strict=True)]
    for name, value in multi_positive_metrics(similarity, relevant, positives).items():
        assert value == pytest.approx(np.mean([each[name] for each in slow]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 15), st.sampled_from([2, 5, 1000]))
def test_metrics_equal_walking_through_the_ranking(seed: int, queries: int, items: int, levels: int) -> None:
    """Few levels of score make many ties."""
    generator = np.random.default_rng(seed)
    similarity = generator.integers(levels, size=(queries, items)).astype(np.float64)
    relevant = generator.random(similarity.shape) < 0.4
    relevant[np.arange(queries), generator.integers(items, size=queries)] = True
    assert_equal_to_slow(similarity, relevant)


def test_positives_that_the_gallery_lacks_count_against_the_query() -> None:
    generator = np.random.default_rng(0)
    similarity, relevant = generator.normal(size=(4, 12)), generator.random((4, 12)) < 0.4
    assert_equal_to_slow(similarity, relevant, relevant.sum(axis=1) + np.array([0, 1, 2, 9]))


def test_more_pairs_than_are_compared_at_once() -> None:
    generator = np.random.default_rng(1)
    similarity, relevant = generator.normal(size=(9, 40)), generator.random((9, 40)) < 0.5
    assert relevant.sum() > 2 * PAIRS_AT_ONCE
    assert_equal_to_slow(similarity, relevant)


def test_ranks_are_places_in_the_whole_gallery() -> None:
    pairs = rank_positives(np.array([[0.9, 0.1, 0.5, 0.3]]), np.array([[False, True, True, False]]))
    assert pairs.queries.tolist() == [0, 0]
    assert pairs.ranks.tolist() == [1, 3]
    assert pairs.places.tolist() == [0, 1]


def test_with_labelled_pairs_alone_recalls_are_those_of_retrieval() -> None:
    generator = np.random.default_rng(2)
    image_of_caption = np.repeat(np.arange(12), 3)
    similarity = generator.normal(size=(12, 36)).astype(np.float32)
    own = image_of_caption[None, :] == np.arange(12)[:, None]
    expected = retrieval_metrics(similarity, image_of_caption)
    for direction, metrics in (
        ("image_to_text", multi_positive_metrics(similarity, own)),
        ("text_to_image", multi_positive_metrics(similarity.T, own.T)),
    ):
        for depth in (1, 5, 10):
            assert metrics[f"r@{depth}"] == expected[f"{direction}_r@{depth}"]


def test_query_without_positive_is_named() -> None:
    with pytest.raises(DataError, match="query 1 has no positive"):
        multi_positive_metrics(np.zeros((2, 3)), np.array([[True, False, False], [False, False, False]]))
