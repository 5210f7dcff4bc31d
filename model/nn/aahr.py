"""The network: two encoders over the features of backbones, and what is fused with their embeddings."""

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from model.config import FeatureDimensions, ModelConfig
from model.nn.backbones import ImageTail, TextBackbone
from model.nn.encoder import Encoding, encode_by_length
from model.nn.features import LocalFeatures, map_in_chunks
from model.nn.image_encoder import CellReduction, ImageEncoder
from model.nn.semantic import SemanticFusion
from model.nn.text_encoder import TextEncoder

IMAGES_AT_ONCE = 32
"""Through the trained blocks of the image backbone, on a CPU."""
TEXTS_AT_ONCE = {"cpu": 64, "cuda": 1024}
"""A GPU computes padding faster than it starts another group."""


class TokenBatch(NamedTuple):
    """Token ids for a text backbone that is fine-tuned, and what a frozen encoder of its own gives beside them."""

    input_ids: Tensor  # [M, T]
    attention_mask: Tensor  # [M, T]
    global_features: Tensor | None = None  # [M, Dg], in place of those of the text backbone


class AAHR(nn.Module):
    """Image and text encoder over features (DESIGN 4.1). Frozen backbones stay outside: they are not its parameters.

    `text_backbone` and `image_tail`, the last blocks of the image backbone, are given where they are fine-tuned, and
    are then part of the network. Without a tail, image features come in through `reduction` already, where the config
    has one; with it, as the frozen part of the backbone returns them.

    With `semantics` in the config, what is encoded is fused with sentence embeddings of descriptions and captions,
    which come in projected already, as `semantics.projection` does it (model/nn/semantic.py).

    Attributes:
        pretrained: names of parameters that stay as the text backbone brought them; no checkpoint holds them.
    """

    def __init__(
        self,
        config: ModelConfig,
        image: FeatureDimensions,
        text: FeatureDimensions,
        text_backbone: TextBackbone | None = None,
        image_tail: ImageTail | None = None,
        sentence_dimension: int | None = None,
    ) -> None:
        """`sentence_dimension`: width of the sentence embeddings, where the config has semantics."""
        super().__init__()
        self.config = config
        components = config.cell_components
        self.reduction = CellReduction(image.local_dimension, components, config.cell_grid) if components else None
        self.image_encoder = ImageEncoder(config, image)
        self.text_encoder = TextEncoder(config, text)
        self.semantics = _semantics(config, sentence_dimension)
        self.text_backbone = text_backbone
        self.image_tail = image_tail
        frozen = () if text_backbone is None else text_backbone.named_parameters(prefix="text_backbone")
        self.pretrained = frozenset(name for name, parameter in frozen if not parameter.requires_grad)

    @property
    def cached_reduction(self) -> CellReduction | None:
        """What cached features go through once, before training: the reduction, unless a tail stands before it."""
        return self.reduction if self.image_tail is None else None

    def encode_images(self, images: LocalFeatures, semantics: Tensor | None = None) -> Encoding:
        """Features [N, R, Dx], mask and global features of images, with the semantics [N, D] of their descriptions.

        Without semantics, a network that fuses some takes every description for missing.
        """
        if self.image_tail is not None:
            at_once = IMAGES_AT_ONCE if images.features.device.type == "cpu" else len(images.features)
            images = map_in_chunks(self.image_tail, images, at_once)
            images = images if self.reduction is None else self.reduction.reduce(images)
        encoding: Encoding = self.image_encoder(images)
        if self.semantics is None:
            return _refuse_semantics(encoding, semantics)
        return self.semantics.fuse_images(encoding, semantics)

    def encode_texts(self, texts: LocalFeatures | TokenBatch, semantics: Tensor | None = None) -> Encoding:
        """Token states, or token ids where the text backbone is fine-tuned, with the semantics [M, D] of the texts."""
        if isinstance(texts, TokenBatch):
            encode, mask = partial(self._encode_tokens, texts), texts.attention_mask.bool()
        else:
            encode, mask = partial(self._encode_states, texts), texts.mask
        encoding = encode_by_length(encode, mask, TEXTS_AT_ONCE.get(mask.device.type, TEXTS_AT_ONCE["cpu"]))
        if self.semantics is None:
            return _refuse_semantics(encoding, semantics)
        return self.semantics.fuse_texts(encoding, semantics)

    def _encode_tokens(self, tokens: TokenBatch, rows: Tensor, longest: int) -> Encoding:
        if self.text_backbone is None:
            raise TypeError("token ids were given to a network whose text backbone is frozen: give it token states")
        if (tokens.global_features is None) != (self.config.text_global_backbone is None):
            raise TypeError("token ids come with global features exactly where the config has a text_global_backbone")
        features = self.text_backbone(tokens.input_ids[rows, :longest], tokens.attention_mask[rows, :longest])
        if tokens.global_features is not None:
            features = features._replace(global_features=tokens.global_features[rows])
        encoding: Encoding = self.text_encoder(features)
        return encoding

    def _encode_states(self, states: LocalFeatures, rows: Tensor, longest: int) -> Encoding:
        features, mask, global_features = states
        group = LocalFeatures(features[rows, :longest], mask[rows, :longest], global_features[rows])
        encoding: Encoding = self.text_encoder(group)
        return encoding


def _semantics(config: ModelConfig, sentence_dimension: int | None) -> SemanticFusion | None:
    if config.semantics is None:
        return None
    if sentence_dimension is None:
        raise TypeError("a network with semantics is built for the width of its sentence embeddings: give it")
    return SemanticFusion(config.semantics, config.dimension, sentence_dimension)


def _refuse_semantics(encoding: Encoding, semantics: Tensor | None) -> Encoding:
    """They would be ignored silently."""
    if semantics is not None:
        raise TypeError("semantics were given to a network that fuses none: its config has no [model.semantics]")
    return encoding
