"""Retrieval metrics against obvious sorting."""

import numpy as np

from training.metrics import five_fold_metrics, image_to_text_ranks, recalls, retrieval_metrics, text_to_image_ranks
from training.metrics.retrieval import QUERIES_AT_ONCE, first_positive_ranks


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


def test_ranks_of_several_positives_equal_sorting_over_more_queries_than_are_taken_at_once() -> None:
    generator = np.random.default_rng(2)
    similarity = generator.normal(size=(QUERIES_AT_ONCE + 3, 9))
    relevant = generator.random(similarity.shape) < 0.3
    relevant[:, 4] = True
    ranks = first_positive_ranks(similarity, relevant)
    for query, own in enumerate(relevant):
        ordered = own[np.argsort(-similarity[query])]
        assert ranks[query] == list(ordered).index(True)


def test_recalls_are_shares_of_the_queries() -> None:
    assert recalls(np.array([0, 0, 4, 9, 10])) == {"r@1": 40.0, "r@5": 60.0, "r@10": 80.0}


def test_five_folds_are_the_mean_of_each_part_by_itself() -> None:
    generator = np.random.default_rng(3)
    counts = generator.integers(1, 4, size=20)
    image_of_caption = np.repeat(np.arange(20), counts)
    similarity = generator.normal(size=(20, counts.sum()))
    shuffled = generator.permutation(len(image_of_caption))
    parts = []
    for start in range(0, 20, 4):
        captions = [caption for caption, image in enumerate(image_of_caption) if start <= image < start + 4]
        part = similarity[start : start + 4][:, captions]
        parts.append(retrieval_metrics(part, np.array([image_of_caption[caption] - start for caption in captions])))
    folds = five_fold_metrics(similarity[:, shuffled], image_of_caption[shuffled])
    assert folds.keys() == parts[0].keys()
    for name, value in folds.items():
        assert np.isclose(value, np.mean([part[name] for part in parts]))
