"""Soft positives: unlabelled pairs, weighted by how similar their captions are to an untrained sentence encoder."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from training.losses import Pairs


class SentenceEmbeddings(NamedTuple):
    """L2-normalised sentence embeddings of the images and captions of a batch, in the order of its pairs."""

    images: Tensor  # [N, G], of the image's captions
    captions: Tensor  # [M, G]


def soft_positive_loss(
    pairs: Pairs, embeddings: SentenceEmbeddings, *, temperature: float = 0.05, target_temperature: float = 0.1
) -> Tensor:
    """Cross-entropy of the softmax over the batch against that of the embeddings; means, both directions added.

    The weight of a pair grows with the similarity of its caption to those of its image, so that "a dog runs" is not an
    error for another image of a running dog. The form is that of distillation (Hinton et al., 2015, section 2).
    """
    logits = pairs.images @ pairs.texts.T / temperature  # [N, M]
    similarity = embeddings.images @ embeddings.captions.T / target_temperature  # [N, M]
    return F.cross_entropy(logits, similarity.softmax(dim=1)) + F.cross_entropy(logits.T, similarity.T.softmax(dim=1))
