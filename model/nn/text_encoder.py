"""The text side: token states of a BERT-type encoder to the common space (DESIGN 4.1)."""

from torch import Tensor, nn

from model.config import FeatureDimensions, ModelConfig
from model.nn.encoder import FragmentEncoder


class TextProjection(nn.Linear):
    """V = Linear(X): the text side has no MLP."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]  # noqa: ARG002
        """tokens [B, T, Dx] to [B, T, D]; the mask is there because both projections share one signature."""
        return super().forward(tokens)


class TextEncoder(FragmentEncoder):
    """Token states and a sentence-level feature to an Encoding."""

    def __init__(self, config: ModelConfig, dimensions: FeatureDimensions) -> None:
        projection = TextProjection(dimensions.local_dimension, config.dimension)
        super().__init__(config, projection, dimensions, config.text_dropout)
