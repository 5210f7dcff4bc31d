"""Precomputed detector regions, as SCAN's data sets hold them: there is nothing to run."""

from pathlib import Path

from torch import Tensor

from model.datasets.scan import GLOBAL_DIMENSION, REGION_DIMENSION
from model.datasets.scan import REGIONS as NAME
from model.errors import ConfigError
from model.nn.backbones.base import ImageBackbone
from model.nn.features import LocalFeatures


class Regions(ImageBackbone):
    """Returns the regions and the global feature that it is given."""

    def __init__(self) -> None:
        fingerprint = f"{NAME}-{REGION_DIMENSION}-{GLOBAL_DIMENSION}"
        super().__init__(NAME, fingerprint, local_dimension=REGION_DIMENSION, global_dimension=GLOBAL_DIMENSION)
        self.preprocessing = None

    def forward(self, regions: Tensor, region_mask: Tensor, global_features: Tensor) -> LocalFeatures:
        """Regions [B, R, 2048], their mask [B, R] and CLIP's embedding [B, 512], unchanged."""
        return LocalFeatures(regions, region_mask, global_features)


def load_regions(path: Path | None) -> Regions:
    """The backbone without weights; raises ConfigError for a path, which would mean nothing."""
    if path is not None:
        raise ConfigError(f"backbone '{NAME}' has no weights; take its path {path} out of the configuration")
    return Regions()
