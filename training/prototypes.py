"""Prototypes, learnt (AAHR, section 3.3) or of descriptions (VSD, section 3.3): Sinkhorn and swapped prediction."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Keys = tuple[Tensor, Tensor]
"""Momentum embeddings of images and of captions, [L, D] each, that need not be pairs."""


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
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
    epsilon: float = 0.05,
    iterations: int = 3,
    temperature: float = 0.1,
    keys: Keys | None = None,
) -> Tensor:
    """Cross-entropy of each modality's softmax against the other's assignment; batch means, both directions added.

    images and texts [B, D] are pairs, prototypes [K, D]; all L2-normalised. Each modality is assigned together with its
    `keys`: a batch smaller than K cannot use all prototypes equally, and says little of what they stand for.
    """
    image_scores, text_scores = images @ prototypes.T, texts @ prototypes.T
    image_keys, text_keys = keys or (images[:0], texts[:0])
    with torch.no_grad():
        image_target = sinkhorn(torch.cat([image_scores, image_keys @ prototypes.T]), epsilon, iterations)
        text_target = sinkhorn(torch.cat([text_scores, text_keys @ prototypes.T]), epsilon, iterations)
    image_target, text_target = image_target[: len(images)], text_target[: len(texts)]
    image_loss = F.cross_entropy(image_scores / temperature, text_target)
    text_loss = F.cross_entropy(text_scores / temperature, image_target)
    return image_loss + text_loss


class Prototypes(nn.Module):
    """K directions [K, D] and their loss; learnable, unless a subclass has them frozen."""

    directions: Tensor

    def __init__(self, count: int, dimension: int, *, epsilon: float, iterations: int, temperature: float) -> None:
        super().__init__()
        self._keep(F.normalize(torch.randn(count, dimension), dim=-1))
        self.epsilon, self.iterations, self.temperature = epsilon, iterations, temperature

    def _keep(self, directions: Tensor) -> None:
        self.directions = nn.Parameter(directions)

    def forward(self, images: Tensor, texts: Tensor, keys: Keys | None = None) -> Tensor:
        """Swapped-prediction loss of pairs [B, D], assigned together with keys [L, D] of both modalities."""
        return swapped_prediction(
            images,
            texts,
            F.normalize(self.directions, dim=-1),
            epsilon=self.epsilon,
            iterations=self.iterations,
            temperature=self.temperature,
            keys=keys,
        )

    @torch.no_grad()
    def measure(self, images: Tensor, texts: Tensor, image_of_caption: Tensor) -> dict[str, float]:
        """How far the assignments of a split are from even ones, and how many pairs share a prototype.

        images [N, D], texts [M, D]. `prototype_entropy` is the mean entropy of all assignments in units of ln K: 1 is
        even, nothing learnt. `prototype_agreement` is the share of captions, in percent, whose first prototype is that
        of their image; by chance it is about 100 / K.
        """
        directions = F.normalize(self.directions, dim=-1)
        of_images = sinkhorn(images @ directions.T, self.epsilon, self.iterations)  # [N, K]
        of_texts = sinkhorn(texts @ directions.T, self.epsilon, self.iterations)  # [M, K]
        entropy = torch.special.entr(torch.cat([of_images, of_texts])).sum(dim=1).mean() / math.log(len(directions))
        agree = of_images.argmax(dim=1)[image_of_caption] == of_texts.argmax(dim=1)
        return {"prototype_entropy": float(entropy), "prototype_agreement": 100 * float(agree.float().mean())}


class SemanticPrototypes(Prototypes):
    """Frozen centroids of the training descriptions (VSD, section 3.3), set once they are known."""

    def _keep(self, directions: Tensor) -> None:
        self.register_buffer("directions", directions)

    @torch.no_grad()
    def set(self, centroids: Tensor) -> None:
        """Take centroids [K, D]."""
        self.directions.copy_(F.normalize(centroids, dim=-1))
