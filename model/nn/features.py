"""What a backbone gives and an encoder takes: local features with their mask, and one global feature per item."""

from typing import NamedTuple

from torch import Tensor


class LocalFeatures(NamedTuple):
    """Features of B items before pooling.

    Attributes:
        features: regions, grid cells or token states, [B, R, Dx]; what stands at masked places is undefined.
        mask: boolean, True where a place is valid, [B, R].
        global_features: one vector of a frozen encoder per item, [B, Dg].
    """

    features: Tensor
    mask: Tensor
    global_features: Tensor


def masked_mean(features: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid places: features [B, R, D] and mask [B, R] to [B, D]."""
    weights = mask.unsqueeze(-1).to(features.dtype)  # [B, R, 1]
    return (features * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
