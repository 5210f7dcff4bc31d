"""Soft positives: the loss against a plain loop, and the sentence embeddings that it is taught by."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.unit.training.test_losses import random_pairs
from training.data.sentence_embeddings import SentenceEmbeddingTable
from training.losses import Pairs
from training.soft_positives import SentenceEmbeddings, soft_positive_loss


def some_embeddings(seed: int = 1) -> SentenceEmbeddings:
    generator = torch.Generator().manual_seed(seed)
    return SentenceEmbeddings(*(F.normalize(torch.randn(count, 5, generator=generator), dim=-1) for count in (4, 7)))


def slow_loss(pairs: Pairs, embeddings: SentenceEmbeddings, temperature: float, target_temperature: float) -> float:
    """Definition, one row and one column after the other."""
    total = 0.0
    for anchors, others, own, theirs in (
        (pairs.images, pairs.texts, embeddings.images, embeddings.captions),
        (pairs.texts, pairs.images, embeddings.captions, embeddings.images),
    ):
        for anchor, vector in zip(anchors, own, strict=True):
            scores = [float(anchor @ other) / temperature for other in others]
            wanted = [math.exp(float(vector @ other) / target_temperature) for other in theirs]
            norm = math.log(sum(math.exp(score) for score in scores))
            total += sum(
                weight / sum(wanted) * (norm - score) for weight, score in zip(wanted, scores, strict=True)
            ) / len(anchors)
    return total


def test_the_loss_is_that_of_its_definition() -> None:
    pairs, embeddings = random_pairs(), some_embeddings()
    found = soft_positive_loss(pairs, embeddings, temperature=0.2, target_temperature=0.3)
    assert float(found) == pytest.approx(slow_loss(pairs, embeddings, 0.2, 0.3), rel=1e-5)


def test_the_loss_is_least_where_the_scores_are_graded_as_the_embeddings() -> None:
    embeddings = some_embeddings()
    same = random_pairs()._replace(images=embeddings.images, texts=embeddings.captions)
    entropy = sum(
        float(torch.special.entr(similarity.softmax(dim=1)).sum(dim=1).mean())
        for similarity in (
            embeddings.images @ embeddings.captions.T / 0.1,
            embeddings.captions @ embeddings.images.T / 0.1,
        )
    )
    least = soft_positive_loss(same, embeddings, temperature=0.1, target_temperature=0.1)
    assert float(least) == pytest.approx(entropy, rel=1e-5)
    assert soft_positive_loss(random_pairs(), embeddings, temperature=0.1, target_temperature=0.1) > least


def test_the_embedding_of_an_image_is_the_mean_of_those_of_its_captions() -> None:
    table = SentenceEmbeddingTable(np.array([[2, 0], [0, 3], [-1, 0]], np.float32), np.array([0, 0, 1]))
    found = table.batch(np.array([1, 0]), np.array([2, 1]))
    torch.testing.assert_close(found.images, torch.tensor([[-1, 0], [0.5**0.5, 0.5**0.5]]))
    torch.testing.assert_close(found.captions, torch.tensor([[-1.0, 0.0], [0.0, 1.0]]))
