"""CLIP and SigLIP as two modules with the outputs of our graphs: embedding, V and l.

V, the local features, are patches and tokens put through what turns the pooled feature into the embedding, so that they
lie in the joint space and their cosines can be looked at. l, which neither model has, is the mean of V.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import CLIPModel, SiglipModel

from model.errors import ConfigError
from model.nn.backbones.pretrained import load_pretrained
from model.nn.towers import Outputs
from training.importing.files import ModelDirectory
from training.importing.texts import max_length


class ImportedTowers(NamedTuple):
    """Both encoders in evaluation mode, and what they take."""

    image: nn.Module
    text: nn.Module
    dimension: int
    image_size: int
    max_length: int  # of a text, in tokens


class ClipImageTower(nn.Module):
    """The class token is projected to the embedding; patches go the same way (Radford et al., ICML 2021)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vision, self.projection = network.vision_model, network.visual_projection

    def forward(self, pixels: Tensor) -> Outputs:
        """pixels [N, 3, H, W] to ([N, D], [N, R, D], [N, D])."""
        states = self.vision(pixel_values=pixels).last_hidden_state  # [N, 1 + R, Dx], before the last norm
        projected = self.projection(self.vision.post_layernorm(states))
        return _outputs(projected[:, 0], projected[:, 1:], None)


class ClipTextTower(nn.Module):
    """The state at the end of the text is projected to the embedding; those of the words before it go the same way."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.words, self.projection = network.text_model, network.text_projection

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        """input_ids and attention_mask [M, T] to ([M, D], [M, T, D], [M, D])."""
        found = self.words(input_ids=input_ids, attention_mask=attention_mask)
        local = self.projection(found.last_hidden_state)
        return _outputs(self.projection(found.pooler_output), local, attention_mask)


class SiglipImageTower(nn.Module):
    """A learned probe attends to the patches; V is what the head would return if it saw one patch alone."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vision = network.vision_model

    def forward(self, pixels: Tensor) -> Outputs:
        """pixels [N, 3, H, W] to ([N, D], [N, R, D], [N, D])."""
        found = self.vision(pixel_values=pixels)
        return _outputs(found.pooler_output, self._seen_alone(found.last_hidden_state), None)

    def _seen_alone(self, patches: Tensor) -> Tensor:
        """The head with all of its attention on one patch: its value and output projections, then its MLP [N, R, D]."""
        head, attention = self.vision.head, self.vision.head.attention
        width = attention.embed_dim
        weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
        states: Tensor = attention.out_proj(nn.functional.linear(patches, weight, bias))
        local: Tensor = states + head.mlp(head.layernorm(states))
        return local


class SiglipTextTower(nn.Module):
    """Texts are padded to one length, and padding is not masked: so it was trained (Zhai et al., ICCV 2023).

    The padding happens in here, so that batches stay as short as their texts outside.
    """

    def __init__(self, network: Any, *, length: int, pad_id: int) -> None:
        super().__init__()
        self.words, self.length, self.pad_id = network.text_model, length, pad_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        """input_ids and attention_mask [M, T], T up to the length, to ([M, D], [M, T, D], [M, D])."""
        shown = attention_mask.bool()
        words = torch.where(shown, input_ids, self.pad_id)
        tokens = words.shape[1]
        padded = nn.functional.pad(words, (0, self.length - tokens), value=self.pad_id)  # [M, length]
        found = self.words(input_ids=padded)
        local = self.words.head(found.last_hidden_state[:, :tokens])
        return _outputs(found.pooler_output, local, attention_mask)


def load_towers(source: ModelDirectory, *, pad_id: int) -> ImportedTowers:
    """Read the weights; `pad_id` is the token that SigLIP's texts are padded with.

    Raises ConfigError for weights that are damaged, incomplete, or of another shape than config.json says.
    """
    network: Any = load_pretrained(CLIPModel if source.model_type == "clip" else SiglipModel, source.directory)
    vision, text = network.config.vision_config, network.config.text_config
    _check_configuration(source.directory, source.model_type, vision, text)
    length = max_length(source, int(text.max_position_embeddings))
    if source.model_type == "clip":
        image: nn.Module = ClipImageTower(network)
        words: nn.Module = ClipTextTower(network)
        dimension = int(network.config.projection_dim)
    else:
        image = SiglipImageTower(network)
        words = SiglipTextTower(network, length=length, pad_id=pad_id)
        dimension = int(vision.hidden_size)
    return ImportedTowers(image.eval(), words.eval(), dimension, int(vision.image_size), length)


def _check_configuration(directory: Path, model_type: str, vision: Any, text: Any) -> None:
    if int(vision.num_channels) != 3:
        raise ConfigError(f"{directory} takes images of {vision.num_channels} channels; only RGB, 3, is known")
    if model_type == "siglip" and not vision.vision_use_head:
        raise ConfigError(f"{directory} has no pooling head (vision_use_head = false), so that it embeds no image")
    if model_type == "siglip" and int(text.projection_size) != int(vision.hidden_size):
        raise ConfigError(
            f"{directory} embeds texts in {text.projection_size} dimensions and images in {vision.hidden_size}: they "
            "cannot be compared"
        )


def _outputs(pooled: Tensor, local: Tensor, mask: Tensor | None) -> Outputs:
    """pooled [n, D], V [n, R or T, D] and its mask to the embedding of length 1, V, and the mean of its valid rows."""
    embedding = pooled / pooled.norm(dim=-1, keepdim=True)
    if mask is None:
        return embedding, local, local.mean(dim=1)
    shown = mask.to(local.dtype).unsqueeze(-1)  # [n, T, 1]
    return embedding, local, (local * shown).sum(dim=1) / shown.sum(dim=1)
