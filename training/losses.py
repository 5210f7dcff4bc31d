"""Matching losses on pairs of embeddings (DESIGN 4.2). All share one signature: Pairs in, a scalar out.

Everything of one image id is positive and never a negative; what is known to hold besides is neither.
"""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Pairs(NamedTuple):
    """N images and M captions, L2-normalised; `image_of_caption` [M] is the row of each caption's image."""

    images: Tensor  # [N, D]
    texts: Tensor  # [M, D]
    image_of_caption: Tensor  # [M]
    image_ids: Tensor  # [N]
    neutral: Tensor | None = None  # [M, N], where a caption holds for an image that is not its own

    @property
    def negative(self) -> Tensor:
        """True at the pairs that must not match, [N, M]: of other image ids, and not neutral."""
        other = self.image_ids[:, None] != self.caption_ids[None, :]
        return other if self.neutral is None else other & ~self.neutral.T

    @property
    def caption_ids(self) -> Tensor:
        """The image id of each caption, [M]."""
        return self.image_ids[self.image_of_caption]


class MatchingLoss(Protocol):
    """A loss that pulls pairs together and pushes the rest apart."""

    def __call__(self, pairs: Pairs) -> Tensor:
        """A scalar."""
        ...


def sampling_probability(
    similarity: Tensor, negative: Tensor, *, cut_off: float = 0.5, nonzero_cut_off: float = 1.7, dimension: int = 512
) -> Tensor:
    """Probability of each candidate as the negative of its row (Wu et al., ICCV 2017, section 4).

    similarity [A, C] are cosines, negative [A, C] is True where the candidate may be one. Distances are clamped below
    at `cut_off`; candidates farther than `nonzero_cut_off` are not drawn. A row without candidates is all zero.
    """
    distance = (2 - 2 * similarity).clamp(min=0).sqrt()
    clamped = distance.clamp(min=cut_off)
    log_weight = (2.0 - dimension) * clamped.log() - 0.5 * (dimension - 3) * (1 - 0.25 * clamped**2).clamp(
        min=1e-8
    ).log()
    log_weight = log_weight.masked_fill(~negative, float("-inf"))
    largest = log_weight.amax(dim=1, keepdim=True).nan_to_num(neginf=0.0)
    weight = (log_weight - largest).exp().masked_fill(distance >= nonzero_cut_off, 0.0)
    return weight / (weight.sum(dim=1, keepdim=True) + 1e-20)


class DistanceWeightedTriplet:
    """Triplet loss with one negative per (anchor, positive), drawn by distance; summed, both directions."""

    def __init__(self, margin: float = 0.2, nonzero_cut_off: float = 1.7) -> None:
        self.margin, self.nonzero_cut_off = margin, nonzero_cut_off

    def __call__(self, pairs: Pairs) -> Tensor:
        """The sum over all positive pairs and both directions."""
        similarity = pairs.images @ pairs.texts.T  # [N, M]
        negative = pairs.negative
        anchors, captions = pairs.image_of_caption, torch.arange(len(pairs.texts), device=similarity.device)
        positive = similarity[anchors, captions]
        image_to_text = self._direction(similarity[anchors], negative[anchors], positive)
        text_to_image = self._direction(similarity.T, negative.T, positive)
        return image_to_text + text_to_image

    def _direction(self, similarity: Tensor, negative: Tensor, positive: Tensor) -> Tensor:
        with torch.no_grad():
            probability = sampling_probability(similarity, negative, nonzero_cut_off=self.nonzero_cut_off)
            empty = probability.sum(dim=1) == 0
            probability[empty] = 1.0  # multinomial wants something to draw; the row is left out below
            drawn = probability.nan_to_num(1.0).multinomial(1)  # a NaN stays in the loss, where it is found
        loss = F.relu(self.margin - positive + similarity.gather(1, drawn).squeeze(1))
        return loss[~empty].sum()


class HardNegativeTriplet:
    """Triplet loss with the hardest negative of the batch (VSE++, BMVC 2018); summed, both directions."""

    def __init__(self, margin: float = 0.2) -> None:
        self.margin = margin

    def __call__(self, pairs: Pairs) -> Tensor:
        """The sum over all positive pairs and both directions."""
        similarity = pairs.images @ pairs.texts.T
        negative = pairs.negative
        positive = similarity[pairs.image_of_caption, torch.arange(len(pairs.texts), device=similarity.device)]
        hidden = similarity.masked_fill(~negative, float("-inf"))
        hardest_text = hidden.amax(dim=1)[pairs.image_of_caption]
        hardest_image = hidden.amax(dim=0)
        return (
            F.relu(self.margin - positive + hardest_text).sum() + F.relu(self.margin - positive + hardest_image).sum()
        )


class InfoNCE:
    """Cross-entropy of each pair against the batch (CPC, 2018); mean over pairs, both directions added.

    Other captions of the same image, and neutral pairs, are masked out of the denominator.
    """

    def __init__(self, temperature: float = 0.05) -> None:
        self.temperature = temperature

    def __call__(self, pairs: Pairs) -> Tensor:
        """The mean over the positive pairs, both directions added."""
        logits = pairs.images @ pairs.texts.T / self.temperature  # [N, M]
        captions = torch.arange(len(pairs.texts), device=logits.device)
        negatives = logits.masked_fill(~pairs.negative, float("-inf"))
        rows = negatives[pairs.image_of_caption]  # [M, M]
        positive = logits[pairs.image_of_caption, captions]
        image_to_text = torch.logaddexp(rows.logsumexp(dim=1), positive) - positive
        text_to_image = torch.logaddexp(negatives.logsumexp(dim=0), positive) - positive
        return image_to_text.mean() + text_to_image.mean()
