"""Settings of the network: pure data, parsed from TOML recipes; an unknown key is refused."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BackboneConfig(Settings):
    """Which frozen or fine-tuned encoder provides the local and global features of one modality."""

    name: str
    path: Path | None = None
    trainable: bool = False


class ImageBackboneConfig(BackboneConfig):
    """`trainable` trains its last blocks along; what lies before them is computed once into the cache."""

    trainable_blocks: int = Field(default=4, ge=1)


class TextBackboneConfig(BackboneConfig):
    """`trainable` trains it along; with `frozen_words` all but its table of word embeddings.

    Half of MiniLM is that table. Frozen, words that training never saw keep their place among those that it saw.
    """

    frozen_words: bool = False


class TextGlobalBackboneConfig(BackboneConfig):
    """Which encoder provides the text's global feature in place of that of the words' encoder. It is never trained."""

    @model_validator(mode="after")
    def _stays_frozen(self) -> Self:
        if self.trainable:
            raise ValueError(
                f"'{self.name}' gives the text's global feature as it was pretrained: set trainable = false; "
                "text_backbone is what can be fine-tuned"
            )
        return self


class SentenceEncoderConfig(BackboneConfig):
    """Which frozen encoder turns descriptions, and captions themselves, into sentence embeddings."""

    name: str = "minilm"

    @model_validator(mode="after")
    def _stays_frozen(self) -> Self:
        if self.trainable:
            raise ValueError(f"the sentence encoder '{self.name}' stays as it was pretrained: set trainable = false")
        return self


class SemanticsConfig(Settings):
    """Visual semantic descriptions at the level of the instance (VSD, section 3.2; DESIGN 5).

    The sentence embedding d of an image's description is fused with the image's embedding, and that of a caption itself
    with the caption's: "sum" is norm(embedding + weight d), "gate" lets a learned gate weigh the two.

    `relation` and `momentum` say whether the relation part and the momentum part see vectors with d in them: HREM's
    variant of the authors fuses before the graph.
    """

    sentence_encoder: SentenceEncoderConfig = SentenceEncoderConfig()
    fusion: Literal["sum", "gate"] = "sum"
    weight: float = Field(default=1.0, gt=0, description="of d in the sum")
    relation: Literal["plain", "fused"] = "plain"
    momentum: Literal["plain", "fused"] = "fused"


class FeatureDropout(Settings):
    """Dropout of what a backbone returns, before the projections."""

    local_features: float = Field(default=0.0, ge=0, lt=1)
    global_features: float = Field(default=0.0, ge=0, lt=1)


class ModelConfig(Settings):
    """The AAHR network (DESIGN 4.1). `dimension` is D of every embedding.

    `pooling` says how the local embedding l is made: "k_max" is the residual pooling alone and needs no fragment
    relation (`vse`), "gglp" adds fragment relation and global-guided local pooling (AAHR), "mean" replaces the guided
    pooling by the average of V' (`hrem`).
    """

    image_backbone: ImageBackboneConfig
    text_backbone: TextBackboneConfig
    text_global_backbone: TextGlobalBackboneConfig | None = None
    dimension: int = Field(default=1024, ge=16)
    pooling: Literal["k_max", "gglp", "mean"] = "gglp"
    global_fusion: bool = True
    pooling_heads: int = Field(default=8, ge=1)
    head_width: Literal["full", "split"] = "full"
    relation_heads: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    image_dropout: FeatureDropout = FeatureDropout()
    text_dropout: FeatureDropout = FeatureDropout()
    residual_weight: float = Field(default=0.8, ge=0, le=1, description="beta of l = beta r + (1 - beta) pooled")
    k_max: int = Field(default=2, ge=1)
    cell_components: int | None = Field(
        default=None, ge=8, description="PCA components of the image's local features; None keeps them whole"
    )
    cell_grid: int | None = Field(
        default=None, ge=1, description="side of the grid to which the cells of an image are averaged; None keeps all"
    )
    cell_positions: bool = Field(default=False, description="learn an embedding of each cell's place in the grid")
    pooling_temperature: bool = Field(default=False, description="learn a temperature of the guided pooling")
    semantics: SemanticsConfig | None = None

    @model_validator(mode="after")
    def _dimensions_divide(self) -> Self:
        for name, parts in (("relation_heads", self.relation_heads), ("pooling_heads", self.pooling_heads)):
            if (name == "relation_heads" or self.head_width == "split") and self.dimension % parts:
                raise ValueError(f"dimension {self.dimension} is not divisible by {name} {parts}")
        if self.pooling == "gglp" and not self.global_fusion:
            raise ValueError(
                "pooling 'gglp' is guided by the global feature: set global_fusion = true or pooling 'mean'"
            )
        if self.cell_grid is not None and self.cell_components is None:
            raise ValueError("cell_grid averages the cells before their PCA: set cell_components as well")
        if self.cell_positions and self.cell_grid is None:
            raise ValueError("cell_positions are those of a grid of known size: set cell_grid as well")
        return self


class FeatureDimensions(Settings):
    """Widths of what a backbone returns: local features [B, R, local] and global features [B, global]."""

    local_dimension: int
    global_dimension: int
