"""What both encoders share behind the projection: relate the fragments, pool them, fuse with the global feature."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import FeatureDimensions, FeatureDropout, ModelConfig
from model.nn.aggregation import GatedFusion, GlobalGuidedPooling, k_max_mean
from model.nn.features import LocalFeatures, bucket_by_length, masked_mean


class Encoding(NamedTuple):
    """What an encoder returns for B items: names as in DESIGN 4.1."""

    embedding: Tensor  # [B, D], L2-normalised
    local_embedding: Tensor  # [B, D], l before fusion
    local_features: Tensor  # [B, R, D], V: after it, the fragment relation leaves the joint space
    mask: Tensor  # [B, R], True where valid
    plain: Tensor | None = None  # [B, D], the embedding before its semantics were fused with it, where they were


class FragmentEncoder(nn.Module):
    """Projected local features and a global feature to an embedding (DESIGN 4.1, steps 2 to 6)."""

    def __init__(
        self, config: ModelConfig, projection: nn.Module, dimensions: FeatureDimensions, dropout: FeatureDropout
    ) -> None:
        super().__init__()
        width = config.dimension
        self.residual_weight, self.k_max = config.residual_weight, config.k_max
        self.local_dropout, self.global_dropout = (
            nn.Dropout(dropout.local_features),
            nn.Dropout(dropout.global_features),
        )
        self.projection = projection
        self.relation: nn.Module | None = None
        self.guided_pooling: GlobalGuidedPooling | None = None
        self.global_projection: nn.Module | None = None
        if config.pooling != "k_max":
            self.relation = nn.TransformerEncoderLayer(
                width, config.relation_heads, dim_feedforward=width, dropout=config.dropout, batch_first=True
            )
        if config.pooling == "gglp":
            self.guided_pooling = GlobalGuidedPooling(
                width, config.pooling_heads, config.head_width, config.pooling_temperature
            )
        if config.global_fusion:
            self.global_projection = nn.Linear(dimensions.global_dimension, width)
            self.fusion = GatedFusion(width)

    def forward(self, item: LocalFeatures) -> Encoding:
        """Local features [B, R, Dx] with mask [B, R] and global features [B, Dg] to an Encoding."""
        projected = self.projection(self.local_dropout(item.features), item.mask)  # [B, R, D]
        related = projected
        if self.relation is not None:
            related = self.relation(projected, src_key_padding_mask=~item.mask)
        global_feature = None
        if self.global_projection is not None:
            global_feature = self.global_projection(self.global_dropout(item.global_features))
        local = self._local_embedding(projected, related, item.mask, global_feature)
        embedding = F.normalize(local, dim=-1) if global_feature is None else self.fusion(local, global_feature)
        return Encoding(embedding, local, projected, item.mask)

    def _local_embedding(
        self, projected: Tensor, related: Tensor, mask: Tensor, global_feature: Tensor | None
    ) -> Tensor:
        residual = k_max_mean(projected, mask, self.k_max)
        if self.relation is None:
            return residual
        if self.guided_pooling is not None and global_feature is not None:
            pooled: Tensor = self.guided_pooling(related, mask, global_feature)
        else:
            pooled = masked_mean(related, mask)
        return self.residual_weight * residual + (1 - self.residual_weight) * pooled


def encode_by_length(encode: Callable[[Tensor, int], Encoding], mask: Tensor, per_group: int) -> Encoding:
    """All items of a mask [B, T] in groups of similar length, so that hardly any padding is computed.

    `encode(rows, longest)` encodes some rows, cut to the longest of them. For encoders whose items do not influence
    each other, as on the text side; captions of a batch are half padding.
    """
    groups = bucket_by_length(mask, per_group)
    parts = []
    for rows, longest in groups:
        encoding = encode(rows, longest)
        padding = (0, 0, 0, mask.shape[1] - longest)
        parts.append(encoding._replace(local_features=F.pad(encoding.local_features, padding), mask=mask[rows]))
    back = torch.cat([rows for rows, _ in groups]).argsort()
    columns = zip(*(part[:4] for part in parts), strict=True)  # semantics come later
    return Encoding(*(torch.cat(column)[back] for column in columns))
