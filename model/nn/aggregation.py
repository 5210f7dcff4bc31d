"""From local and global features to one embedding: residual pooling, guided pooling, gated fusion (DESIGN 4.1, 2-6)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def k_max_mean(features: Tensor, mask: Tensor, k: int) -> Tensor:
    """Mean of the k largest valid values per dimension; an item with fewer valid cells uses those it has.

    features [B, R, D], mask [B, R] (True where valid), returns [B, D].
    """
    k = min(k, features.shape[1])
    filled = features.masked_fill(~mask.unsqueeze(-1), float("-inf"))
    largest = filled.topk(k, dim=1).values  # [B, k, D], the valid ones first
    count = mask.sum(dim=1, keepdim=True).clamp(max=k)  # [B, 1]
    filling = torch.arange(k, device=features.device) >= count  # [B, k]
    total = largest.masked_fill(filling.unsqueeze(-1), 0.0).sum(dim=1)
    return total / count.clamp(min=1).to(features.dtype)


class GlobalGuidedPooling(nn.Module):
    """GGLP: each head weighs the cells by their cosine with the projected global feature (AAHR, section 3.2).

    With `width` "full" every head keeps D dimensions and the heads are averaged (the paper); with "split" each head has
    D / heads dimensions and the heads are concatenated. Cosines without a temperature weigh the cells almost equally;
    `learn_temperature` divides them by a learned one, which starts at 1.
    """

    def __init__(self, dimension: int, heads: int, width: str, learn_temperature: bool) -> None:
        super().__init__()
        self.heads, self.average = heads, width == "full"
        total = dimension * heads if self.average else dimension
        self.query = nn.Linear(dimension, total)
        self.key = nn.Linear(dimension, total)
        self.value = nn.Linear(dimension, total)
        self.log_scale = nn.Parameter(torch.zeros(())) if learn_temperature else None

    def attention(self, features: Tensor, mask: Tensor, global_features: Tensor) -> Tensor:
        """Weights [B, H, R] of the cells [B, R, D] under the projected global features [B, D]; padding weighs 0."""
        batch, cells, _ = features.shape
        query = F.normalize(self.query(global_features).view(batch, self.heads, 1, -1), dim=-1)
        key = F.normalize(self.key(features).view(batch, cells, self.heads, -1), dim=-1).transpose(1, 2)
        cosine = (query * key).sum(dim=-1)  # [B, H, R]
        if self.log_scale is not None:
            cosine = cosine * self.log_scale.exp()
        return cosine.masked_fill(~mask.unsqueeze(1), float("-inf")).softmax(dim=-1)

    def forward(self, features: Tensor, mask: Tensor, global_features: Tensor) -> Tensor:
        """Pool features [B, R, D] to [B, D].

        The weights of a head sum to one, so its value projection commutes with the sum: it is applied to H pooled
        vectors in place of R cells.
        """
        weights = self.attention(features, mask, global_features)
        pooled = weights @ features  # [B, H, D]
        projection = self.value.weight.view(self.heads, -1, features.shape[-1])
        heads = torch.einsum("bhd,hed->bhe", pooled, projection) + self.value.bias.view(self.heads, -1)
        return heads.mean(dim=1) if self.average else heads.flatten(start_dim=1)


class GatedFusion(nn.Module):
    """a = sigmoid(W [norm(l); norm(g)]); norm(a * norm(l) + (1 - a) * norm(g)) (AAHR, section 3.2)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * dimension, dimension)

    def forward(self, local_embedding: Tensor, global_features: Tensor) -> Tensor:
        """l [B, D] and the projected global features [B, D] to the L2-normalised embedding [B, D]."""
        local, global_feature = F.normalize(local_embedding, dim=-1), F.normalize(global_features, dim=-1)
        share = torch.sigmoid(self.gate(torch.cat([local, global_feature], dim=-1)))
        return F.normalize(share * local + (1 - share) * global_feature, dim=-1)
