"""The network: two encoders over the features of backbones, and the towers that export runs."""

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from model.config import FeatureDimensions, ModelConfig
from model.nn.backbones import ImageTail, TextBackbone
from model.nn.encoder import Encoding, FragmentEncoder, encode_by_length
from model.nn.features import LocalFeatures, map_in_chunks
from model.nn.image_encoder import CellReduction, ImageEncoder
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
    ) -> None:
        super().__init__()
        self.config = config
        components = config.cell_components
        self.reduction = CellReduction(image.local_dimension, components, config.cell_grid) if components else None
        self.image_encoder = ImageEncoder(config, image)
        self.text_encoder = TextEncoder(config, text)
        self.text_backbone = text_backbone
        self.image_tail = image_tail
        frozen = () if text_backbone is None else text_backbone.named_parameters(prefix="text_backbone")
        self.pretrained = frozenset(name for name, parameter in frozen if not parameter.requires_grad)

    @property
    def cached_reduction(self) -> CellReduction | None:
        """What cached features go through once, before training: the reduction, unless a tail stands before it."""
        return self.reduction if self.image_tail is None else None

    def encode_images(self, images: LocalFeatures) -> Encoding:
        """Features [N, R, Dx], mask and global features of images to an Encoding."""
        if self.image_tail is not None:
            at_once = IMAGES_AT_ONCE if images.features.device.type == "cpu" else len(images.features)
            images = map_in_chunks(self.image_tail, images, at_once)
            images = images if self.reduction is None else self.reduction.reduce(images)
        encoding: Encoding = self.image_encoder(images)
        return encoding

    def encode_texts(self, texts: LocalFeatures | TokenBatch) -> Encoding:
        """Token states, or token ids where the text backbone is fine-tuned, to an Encoding."""
        if isinstance(texts, TokenBatch):
            encode, mask = partial(self._encode_tokens, texts), texts.attention_mask.bool()
        else:
            encode, mask = partial(self._encode_states, texts), texts.mask
        return encode_by_length(encode, mask, TEXTS_AT_ONCE.get(mask.device.type, TEXTS_AT_ONCE["cpu"]))

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


class ImageTower(nn.Module):
    """Backbone, reduction and encoder in a row: what `image.onnx` holds."""

    def __init__(self, backbone: nn.Module, reduction: CellReduction | None, encoder: FragmentEncoder) -> None:
        super().__init__()
        self.backbone, self.reduction, self.encoder = backbone, reduction, encoder

    def encode(self, item: LocalFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """What the backbone returned to embedding [N, D], V [N, R, D] and l [N, D]."""
        if self.reduction is not None:
            item = self.reduction.reduce(item)
        encoding: Encoding = self.encoder(item)
        return encoding.embedding, encoding.local_features, encoding.local_embedding


class PixelTower(ImageTower):
    """Pixels to embedding, V and l."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pixels [N, 3, H, W] to ([N, D], [N, R, D], [N, D])."""
        return self.encode(self.backbone(pixels))


class RegionTower(ImageTower):
    """Precomputed regions to embedding, V and l."""

    def forward(self, regions: Tensor, region_mask: Tensor, global_features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """regions [N, R, Dx], their mask [N, R] and global features [N, Dg] to ([N, D], [N, R, D], [N, D])."""
        return self.encode(self.backbone(regions, region_mask, global_features))


class TextTower(nn.Module):
    """Backbone and encoder in a row: what `text.onnx` holds."""

    def __init__(self, backbone: TextBackbone, encoder: FragmentEncoder) -> None:
        super().__init__()
        self.backbone, self.encoder = backbone, encoder

    def encode(self, item: LocalFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """What the backbone returned to embedding [M, D], V [M, T, D] and l [M, D]."""
        encoding: Encoding = self.encoder(item)
        return encoding.embedding, encoding.local_features, encoding.local_embedding


class SingleTextTower(TextTower):
    """Tokens to embedding, V and l."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """input_ids and attention_mask [M, T] to ([M, D], [M, T, D], [M, D])."""
        return self.encode(self.backbone(input_ids, attention_mask))


class DualTextTower(TextTower):
    """The tokens of two text encoders to embedding, V and l: words of the one, global feature of the other."""

    def __init__(self, backbone: TextBackbone, global_backbone: TextBackbone, encoder: FragmentEncoder) -> None:
        super().__init__(backbone, encoder)
        self.global_backbone = global_backbone

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, global_input_ids: Tensor, global_attention_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [M, T] of the words and [M, G] of the global feature to ([M, D], [M, T, D], [M, D])."""
        words = self.backbone(input_ids, attention_mask)
        sentence = self.global_backbone(global_input_ids, global_attention_mask)
        return self.encode(words._replace(global_features=sentence.global_features))
