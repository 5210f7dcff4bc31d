"""Soft positives: pairs that no label names, as likely as their captions are alike to an untrained sentence encoder."""

import torch.nn.functional as F
from torch import Tensor

from training.data.meanings import Meanings
from training.losses import Pairs


def soft_positive_loss(
    pairs: Pairs, meanings: Meanings, *, temperature: float = 0.05, target_temperature: float = 0.1
) -> Tensor:
    """Cross-entropy of the softmax over the batch against that of the meanings; means, both directions added.

    A pair is a target as far as its caption is like those of its image, so that "a dog runs" is no mistake for another
    picture of a running dog. The form is that of distillation (Hinton et al., 2015, section 2).
    """
    logits = pairs.images @ pairs.texts.T / temperature  # [N, M]
    likeness = meanings.images @ meanings.captions.T / target_temperature  # [N, M]
    return F.cross_entropy(logits, likeness.softmax(dim=1)) + F.cross_entropy(logits.T, likeness.T.softmax(dim=1))
