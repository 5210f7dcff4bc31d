"""A checkpoint as the two modules that are exported, and their ONNX graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from model.artifact import IMAGE_GRAPH, TEXT_GRAPH
from model.nn.aahr import AAHR, DualTextTower, ImageTower, PixelTower, RegionTower, SingleTextTower, TextTower
from model.onnx_session import OUTPUTS
from model.runtime import PIXEL_INPUTS, REGION_INPUTS
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
    image = kind(backbone, network.reduction, network.image_encoder).eval()
    return Towers(image, _text_tower(network, backbones).eval(), backbones, network.config.dimension)


def _text_tower(network: AAHR, backbones: Backbones) -> TextTower:
    words = network.text_backbone or backbones.text
    if backbones.text_global is None:
        return SingleTextTower(words, network.text_encoder)
    return DualTextTower(words, backbones.text_global, network.text_encoder)


def write_graphs(towers: Towers, directory: Path) -> None:
    """Write image.onnx and text.onnx with fp32 weights."""
    write_image_graph(towers, directory / IMAGE_GRAPH)
    write_text_graph(towers.text, directory / TEXT_GRAPH)


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
    export_graph(towers.image, {name: inputs[name] for name in names}, OUTPUTS, axes, file)


def write_text_graph(tower: TextTower, file: Path) -> None:
    """Token ids and their mask, of both text encoders where there are two, to the three outputs."""
    inputs = dict.fromkeys(TOKEN_INPUTS, torch.ones(2, 8, dtype=torch.int64))
    if isinstance(tower, DualTextTower):
        # Of another length: equal ones would be traced as one and the same axis.
        inputs |= dict.fromkeys(GLOBAL_TOKEN_INPUTS, torch.ones(2, 6, dtype=torch.int64))
    export_graph(tower, inputs, OUTPUTS, dict.fromkeys(inputs, (0, 1)), file)
