"""The whole network: two encoders over the features of backbones, and the towers that export runs."""

from typing import NamedTuple

from torch import Tensor, nn

from model.config import FeatureDimensions, ModelConfig
from model.nn.backbones import ImageBackbone, TextBackbone
from model.nn.encoder import Encoding, FragmentEncoder, encode_by_length
from model.nn.features import LocalFeatures
from model.nn.image_encoder import CellReduction, ImageEncoder
from model.nn.text_encoder import TextEncoder


class TokenBatch(NamedTuple):
    """Token ids for a text backbone that is trained along."""

    input_ids: Tensor  # [M, T]
    attention_mask: Tensor  # [M, T]


class AAHR(nn.Module):
    """Image and text encoder over features (DESIGN 4.1). Frozen backbones stay outside: they are not its parameters.

    `text_backbone` is given where it is fine-tuned, and is then part of the network. Image features come in as the
    backbone gives them, or already through `reduction`, where the config has one.
    """

    def __init__(
        self,
        config: ModelConfig,
        image: FeatureDimensions,
        text: FeatureDimensions,
        text_backbone: TextBackbone | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        components = config.cell_components
        self.reduction = CellReduction(image.local_dimension, components, config.cell_grid) if components else None
        self.image_encoder = ImageEncoder(config, image)
        self.text_encoder = TextEncoder(config, text)
        self.text_backbone = text_backbone

    def encode_images(self, images: LocalFeatures) -> Encoding:
        """Reduced features [N, R, Dr], mask and global features of images to an Encoding."""
        encoding: Encoding = self.image_encoder(images)
        return encoding

    def encode_texts(self, texts: LocalFeatures | TokenBatch) -> Encoding:
        """Token states, or token ids where the text backbone is trained along, to an Encoding."""
        if isinstance(texts, TokenBatch):
            if self.text_backbone is None:
                raise TypeError("token ids were given to a network whose text backbone is frozen: give it token states")
            features: LocalFeatures = self.text_backbone(*texts)
        else:
            features = texts
        return encode_by_length(self.text_encoder, features)


class ImageTower(nn.Module):
    """Backbone, reduction and encoder in a row: what `image.onnx` holds."""

    def __init__(self, backbone: ImageBackbone, reduction: CellReduction | None, encoder: FragmentEncoder) -> None:
        super().__init__()
        self.backbone, self.reduction, self.encoder = backbone, reduction, encoder

    def encode(self, item: LocalFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """What the backbone gave to embedding [N, D], V' [N, R, D] and l [N, D]."""
        if self.reduction is not None:
            item = self.reduction.reduce(item)
        encoding: Encoding = self.encoder(item)
        return encoding.embedding, encoding.local_features, encoding.local_embedding


class PixelTower(ImageTower):
    """Pixels to embedding, V' and l."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pixels [N, 3, H, W] to ([N, D], [N, R, D], [N, D])."""
        return self.encode(self.backbone(pixels))


class RegionTower(ImageTower):
    """Precomputed regions to embedding, V' and l."""

    def forward(self, regions: Tensor, region_mask: Tensor, global_features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """regions [N, R, Dx], their mask [N, R] and global features [N, Dg] to ([N, D], [N, R, D], [N, D])."""
        return self.encode(self.backbone(regions, region_mask, global_features))


class TextTower(nn.Module):
    """Tokens to embedding, V' and l: what `text.onnx` holds."""

    def __init__(self, backbone: TextBackbone, encoder: FragmentEncoder) -> None:
        super().__init__()
        self.backbone, self.encoder = backbone, encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """input_ids and attention_mask [M, T] to ([M, D], [M, T, D], [M, D])."""
        encoding: Encoding = self.encoder(self.backbone(input_ids, attention_mask))
        return encoding.embedding, encoding.local_features, encoding.local_embedding
