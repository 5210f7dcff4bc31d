"""CLIP's two encoders, each with its embedding as the global feature (Radford et al., ICML 2021)."""

from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

from model.nn.backbones.base import ImageBackbone, TextBackbone, all_valid
from model.nn.backbones.preprocessor import read_image_preprocessing
from model.nn.backbones.pretrained import (
    TOKENIZER,
    find_directory,
    fingerprint_of_directory,
    load_pretrained,
    required_file,
)
from model.nn.features import LocalFeatures
from model.preprocess import TextPreprocessing

HUB_ID = "openai/clip-vit-base-patch32"
EMBEDDING = "clip-embedding"
TEXT, TEXT_EMBEDDING = "clip-text", "clip-text-embedding"


class ClipImage(ImageBackbone):
    """Patch tokens without the class token as local features; the projected image embedding as the global feature."""

    def __init__(self, directory: Path) -> None:
        network: Any = load_pretrained(CLIPVisionModelWithProjection, directory)
        config = network.config
        super().__init__(
            "clip",
            fingerprint_of_directory(directory),
            local_dimension=int(config.hidden_size),
            global_dimension=int(config.projection_dim),
        )
        self.preprocessing = read_image_preprocessing(directory, int(config.image_size), "clip")
        self.network = network

    def forward(self, pixels: Tensor) -> LocalFeatures:
        """Pixels [B, 3, H, W] to R patches [B, R, Dx], 49 for ViT-B/32."""
        found = self.network(pixel_values=pixels)
        patches = found.last_hidden_state[:, 1:]  # [B, 1 + R, Dx] to [B, R, Dx]
        return LocalFeatures(patches, all_valid(patches), found.image_embeds)


class ClipEmbedding(ImageBackbone):
    """The projected image embedding alone, also as the one local feature: what stands beside precomputed regions."""

    def __init__(self, directory: Path) -> None:
        network: Any = load_pretrained(CLIPVisionModelWithProjection, directory)
        width = int(network.config.projection_dim)
        super().__init__(EMBEDDING, fingerprint_of_directory(directory), local_dimension=width, global_dimension=width)
        self.preprocessing = read_image_preprocessing(directory, int(network.config.image_size), "clip")
        self.network = network

    def forward(self, pixels: Tensor) -> LocalFeatures:
        """Pixels [B, 3, H, W] to the embedding as features [B, 1, Dg] and as global features [B, Dg]."""
        embedding = self.network(pixel_values=pixels).image_embeds
        features = embedding.unsqueeze(1)
        return LocalFeatures(features, all_valid(features), embedding)


class ClipText(TextBackbone):
    """Token states as local features; the projected text embedding as the global feature."""

    def __init__(self, directory: Path, name: str = TEXT) -> None:
        network: Any = load_pretrained(CLIPTextModelWithProjection, directory)
        config = network.config
        super().__init__(
            name,
            fingerprint_of_directory(directory),
            local_dimension=int(config.hidden_size),
            global_dimension=int(config.projection_dim),
        )
        self.network = network
        self.tokenizer_file = required_file(directory, TOKENIZER, self.name)
        self.preprocessing = TextPreprocessing(max_length=int(config.max_position_embeddings))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> LocalFeatures:
        """Tokens [M, T] to their states [M, T, Dx]."""
        found = self.network(input_ids=input_ids, attention_mask=attention_mask)
        return LocalFeatures(found.last_hidden_state, attention_mask.bool(), found.text_embeds)


class ClipTextEmbedding(ClipText):
    """The projected text embedding alone, also as the one local feature: what stands beside another encoder's words."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, TEXT_EMBEDDING)
        self.local_dimension = self.global_dimension

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> LocalFeatures:
        """Tokens [M, T] to the embedding as features [M, 1, Dg] and as global features [M, Dg]."""
        embedding = super().forward(input_ids, attention_mask).global_features
        features = embedding.unsqueeze(1)
        return LocalFeatures(features, all_valid(features), embedding)


def load_clip(path: Path | None) -> ClipImage:
    """CLIP's image encoder, ViT-B/32 where no directory is given."""
    return ClipImage(find_directory("clip", path, HUB_ID))


def load_clip_embedding(path: Path | None) -> ClipEmbedding:
    """The embedding of CLIP's image encoder, of ViT-B/32 where no directory is given."""
    return ClipEmbedding(find_directory(EMBEDDING, path, HUB_ID))


def load_clip_text(path: Path | None) -> ClipText:
    """CLIP's text encoder, of ViT-B/32 where no directory is given."""
    return ClipText(find_directory(TEXT, path, HUB_ID))


def load_clip_text_embedding(path: Path | None) -> ClipTextEmbedding:
    """The embedding of CLIP's text encoder, of ViT-B/32 where no directory is given."""
    return ClipTextEmbedding(find_directory(TEXT_EMBEDDING, path, HUB_ID))
