"""A checkpoint as the two modules that are exported, and their ONNX graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from model.artifact import IMAGE_GRAPH, SENTENCE_GRAPH, TEXT_GRAPH
from model.nn.aahr import AAHR
from model.nn.towers import (
    DualTextTower,
    ImageTower,
    PixelTower,
    RegionTower,
    SentenceTower,
    SingleTextTower,
    TextTower,
)
from model.onnx_session import OUTPUTS
from model.runtime import PIXEL_INPUTS, REGION_INPUTS
from model.semantics import SEMANTICS_INPUT, SENTENCE_OUTPUTS
from model.tokens import GLOBAL_TOKEN_INPUTS, TOKEN_INPUTS
from training.checkpoint import Checkpoint, load_network
from training.network import Backbones, load_backbones
from training.onnx_export import export_graph

REGIONS_IN_EXAMPLE = 36


@dataclass(frozen=True)
class Towers:
    """Backbone and encoder of each modality in a row, in evaluation mode."""

    image: ImageTower
    text: TextTower
    backbones: Backbones
    dimension: int
    sentence: SentenceTower | None = None  # where the network fuses semantics
    missing: tuple[float, ...] = ()  # [D], what it takes for a description that is missing

    @property
    def takes_pixels(self) -> bool:
        """Whether the image tower sees images; otherwise precomputed regions."""
        return self.backbones.image.preprocessing is not None


def load_towers(checkpoint: Checkpoint) -> Towers:
    """The towers of a checkpoint; what of a backbone was fine-tuned is the checkpoint's, not the pretrained one's.

    Raises ConfigError for a backbone that is not installed and ArtifactCorrupt for one of other weights.
    """
    backbones = load_backbones(checkpoint.config)
    network = load_network(checkpoint, backbones)
    kind = RegionTower if backbones.image.preprocessing is None else PixelTower
    backbone = backbones.image if network.image_tail is None else nn.Sequential(backbones.image, network.image_tail)
    fusion, dimension = network.semantics, network.config.dimension
    image = kind(backbone, network.reduction, network.image_encoder, None if fusion is None else fusion.image).eval()
    text = _text_tower(network, backbones).eval()
    if fusion is None or backbones.sentence is None:
        return Towers(image, text, backbones, dimension)
    sentence = SentenceTower(backbones.sentence, fusion.projection).eval()
    return Towers(image, text, backbones, dimension, sentence, tuple(fusion.missing.tolist()))


def _text_tower(network: AAHR, backbones: Backbones) -> TextTower:
    words = network.text_backbone or backbones.text
    fusion = None if network.semantics is None else network.semantics.text
    if backbones.text_global is None:
        return SingleTextTower(words, network.text_encoder, fusion)
    return DualTextTower(words, backbones.text_global, network.text_encoder, fusion)


def write_graphs(towers: Towers, directory: Path) -> None:
    """Write image.onnx and text.onnx, and sentence.onnx where there are semantics, with fp32 weights."""
    write_image_graph(towers, directory / IMAGE_GRAPH)
    write_text_graph(towers, directory / TEXT_GRAPH)
    if towers.sentence is not None:
        tokens = dict.fromkeys(TOKEN_INPUTS, torch.ones(2, 8, dtype=torch.int64))
        axes = dict.fromkeys(tokens, (0, 1))
        export_graph(towers.sentence, tokens, SENTENCE_OUTPUTS, axes, directory / SENTENCE_GRAPH)


def write_image_graph(towers: Towers, file: Path) -> None:
    """Pixels, or regions with their mask and global features, to the three outputs."""
    preprocessing = towers.backbones.image.preprocessing
    if preprocessing is not None:
        inputs = {"pixels": torch.zeros(2, 3, preprocessing.size, preprocessing.size)}
        axes: dict[str, tuple[int, ...]] = {"pixels": (0,)}
        names: Sequence[str] = PIXEL_INPUTS
    else:
        image, _ = towers.backbones.dimensions
        cells = torch.randn(2, REGIONS_IN_EXAMPLE, image.local_dimension)
        mask = torch.ones(cells.shape[:2], dtype=torch.bool)
        inputs = {"regions": cells, "region_mask": mask, "global_features": torch.randn(2, image.global_dimension)}
        axes = {"regions": (0, 1), "region_mask": (0, 1), "global_features": (0,)}
        names = REGION_INPUTS
    inputs = {name: inputs[name] for name in names}
    _add_semantics(towers, inputs, axes)
    export_graph(towers.image, inputs, OUTPUTS, axes, file)


def write_text_graph(towers: Towers, file: Path) -> None:
    """Token ids and their mask, of both text encoders where there are two, to the three outputs."""
    inputs = dict.fromkeys(TOKEN_INPUTS, torch.ones(2, 8, dtype=torch.int64))
    if isinstance(towers.text, DualTextTower):
        # Of another length: equal ones would be traced as one and the same axis.
        inputs |= dict.fromkeys(GLOBAL_TOKEN_INPUTS, torch.ones(2, 6, dtype=torch.int64))
    axes: dict[str, tuple[int, ...]] = dict.fromkeys(inputs, (0, 1))
    _add_semantics(towers, inputs, axes)
    export_graph(towers.text, inputs, OUTPUTS, axes, file)


def _add_semantics(towers: Towers, inputs: dict[str, torch.Tensor], axes: dict[str, tuple[int, ...]]) -> None:
    """The last input of both graphs, where the network fuses semantics."""
    if towers.sentence is not None:
        inputs[SEMANTICS_INPUT] = torch.randn(2, towers.dimension)
        axes[SEMANTICS_INPUT] = (0,)
