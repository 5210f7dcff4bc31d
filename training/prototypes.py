"""Dynamic clustering prototypes (AAHR, section 3.3): Sinkhorn assignments and swapped prediction."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float = 0.1, iterations: int = 3) -> Tensor:
    """Soft assignments of B items to K prototypes that use all prototypes equally (SwAV, NeurIPS 2020, section 3.1).

    scores [B, K] are cosines; each row of the result [B, K] sums to one, each column nearly to B / K. The rows are
    shifted by the largest score, which the normalisation cancels, so that the exponential cannot overflow.
    """
    plan = ((scores - scores.max()) / epsilon).exp().T  # [K, B]
    prototypes, items = plan.shape
    plan = plan / plan.sum()
    for _ in range(iterations):
        plan = plan / (plan.sum(dim=1, keepdim=True) * prototypes)
        plan = plan / (plan.sum(dim=0, keepdim=True) * items)
    return (plan * items).T


def swapped_prediction(
    images: Tensor,
    texts: Tensor,
    prototypes: Tensor,
    *,
    epsilon: float = 0.1,
    iterations: int = 3,
    temperature: float = 0.1,
) -> Tensor:
    """Cross-entropy of each modality's softmax against the other's assignment; batch means, both directions added.

    images and texts [B, D] are pairs, prototypes [K, D]; all L2-normalised.
    """
    image_scores, text_scores = images @ prototypes.T, texts @ prototypes.T
    image_target = sinkhorn(image_scores.detach(), epsilon, iterations)
    text_target = sinkhorn(text_scores.detach(), epsilon, iterations)
    image_loss = F.cross_entropy(image_scores / temperature, text_target)
    text_loss = F.cross_entropy(text_scores / temperature, image_target)
    return image_loss + text_loss


class Prototypes(nn.Module):
    """K learnable directions [K, D] and their loss."""

    def __init__(self, count: int, dimension: int, *, epsilon: float, iterations: int, temperature: float) -> None:
        super().__init__()
        self.directions = nn.Parameter(F.normalize(torch.randn(count, dimension), dim=-1))
        self.epsilon, self.iterations, self.temperature = epsilon, iterations, temperature

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Swapped-prediction loss of pairs [B, D]."""
        return swapped_prediction(
            images,
            texts,
            F.normalize(self.directions, dim=-1),
            epsilon=self.epsilon,
            iterations=self.iterations,
            temperature=self.temperature,
        )
