"""What a backbone returns and an encoder takes: local features with their mask, and one global feature per item."""

from collections.abc import Callable
from typing import NamedTuple

import torch
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


def map_in_chunks(encode: Callable[[LocalFeatures], LocalFeatures], item: LocalFeatures, items: int) -> LocalFeatures:
    """The same as `encode(item)` for items that do not influence each other, so few at a time that caches hold them."""
    split = (torch.split(tensor, items) for tensor in item)
    parts = [encode(LocalFeatures(*part)) for part in zip(*split, strict=True)]
    return LocalFeatures(*(torch.cat(column) for column in zip(*parts, strict=True)))


def bucket_by_length(mask: Tensor, per_group: int) -> list[tuple[Tensor, int]]:
    """The rows of a mask [B, R] in order of length, in groups: (rows, length of the longest of them).

    The length of an item is its last valid place, counted from 1 and at least 1; masks may have holes.
    """
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    lengths = (mask * places).amax(dim=1).clamp(min=1)
    return [(rows, int(lengths[rows[-1]])) for rows in torch.split(lengths.argsort(), per_group)]
