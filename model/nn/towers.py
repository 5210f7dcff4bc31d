"""The towers: backbone, encoder and semantics of one modality in a row, as export writes them into graphs."""

from torch import Tensor, nn

from model.nn.backbones import TextBackbone
from model.nn.encoder import Encoding, FragmentEncoder
from model.nn.features import LocalFeatures
from model.nn.image_encoder import CellReduction
from model.nn.semantic import InstanceFusion, SentenceProjection

Outputs = tuple[Tensor, Tensor, Tensor]
"""Embedding [n, D], V [n, R or T, D] and l [n, D]."""


class Tower(nn.Module):
    """An encoder, and the fusion of its embeddings with semantics where the network has one."""

    def __init__(self, encoder: FragmentEncoder, fusion: InstanceFusion | None) -> None:
        super().__init__()
        self.encoder, self.fusion = encoder, fusion

    def encode(self, item: LocalFeatures, semantics: Tensor | None) -> Outputs:
        """Features of n items, with their semantics [n, D] exactly where the network fuses some."""
        encoding: Encoding = self.encoder(item)
        if self.fusion is not None:
            encoding = self.fusion(encoding, semantics)
        return encoding.embedding, encoding.local_features, encoding.local_embedding


class ImageTower(Tower):
    """Backbone, reduction and encoder: what `image.onnx` holds."""

    def __init__(
        self,
        backbone: nn.Module,
        reduction: CellReduction | None,
        encoder: FragmentEncoder,
        fusion: InstanceFusion | None = None,
    ) -> None:
        super().__init__(encoder, fusion)
        self.backbone, self.reduction = backbone, reduction

    def encode(self, item: LocalFeatures, semantics: Tensor | None) -> Outputs:
        """What the backbone returned, to the outputs."""
        return super().encode(item if self.reduction is None else self.reduction.reduce(item), semantics)


class PixelTower(ImageTower):
    """Pixels to embedding, V and l."""

    def forward(self, pixels: Tensor, semantics: Tensor | None = None) -> Outputs:
        """pixels [N, 3, H, W] to ([N, D], [N, R, D], [N, D])."""
        return self.encode(self.backbone(pixels), semantics)


class RegionTower(ImageTower):
    """Precomputed regions to embedding, V and l."""

    def forward(
        self, regions: Tensor, region_mask: Tensor, global_features: Tensor, semantics: Tensor | None = None
    ) -> Outputs:
        """regions [N, R, Dx], their mask [N, R] and global features [N, Dg] to ([N, D], [N, R, D], [N, D])."""
        return self.encode(self.backbone(regions, region_mask, global_features), semantics)


class TextTower(Tower):
    """Backbone and encoder: what `text.onnx` holds."""

    def __init__(self, backbone: TextBackbone, encoder: FragmentEncoder, fusion: InstanceFusion | None = None) -> None:
        super().__init__(encoder, fusion)
        self.backbone = backbone


class SingleTextTower(TextTower):
    """Tokens to embedding, V and l."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, semantics: Tensor | None = None) -> Outputs:
        """input_ids and attention_mask [M, T] to ([M, D], [M, T, D], [M, D])."""
        return self.encode(self.backbone(input_ids, attention_mask), semantics)


class DualTextTower(TextTower):
    """The tokens of two text encoders to embedding, V and l: words of the one, global feature of the other."""

    def __init__(
        self,
        backbone: TextBackbone,
        global_backbone: TextBackbone,
        encoder: FragmentEncoder,
        fusion: InstanceFusion | None = None,
    ) -> None:
        super().__init__(backbone, encoder, fusion)
        self.global_backbone = global_backbone

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        global_input_ids: Tensor,
        global_attention_mask: Tensor,
        semantics: Tensor | None = None,
    ) -> Outputs:
        """Tokens [M, T] of the words and [M, G] of the global feature to ([M, D], [M, T, D], [M, D])."""
        words = self.backbone(input_ids, attention_mask)
        sentence = self.global_backbone(global_input_ids, global_attention_mask)
        return self.encode(words._replace(global_features=sentence.global_features), semantics)


class SentenceTower(nn.Module):
    """The frozen sentence encoder with the projection: what `sentence.onnx` holds."""

    def __init__(self, backbone: TextBackbone, projection: SentenceProjection) -> None:
        super().__init__()
        self.backbone, self.projection = backbone, projection

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Tokens [n, T] to semantics [n, D]."""
        semantics: Tensor = self.projection(self.backbone(input_ids, attention_mask).global_features)
        return semantics
