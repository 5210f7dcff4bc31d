"""`aahr data neighbours`: a describer out of training images, their captions and a frozen image backbone."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.descriptions.neighbours import NeighboursFile, write_gallery
from model.descriptions.neighbours.consensus import NeighbourSettings
from model.descriptions.neighbours.describer import INPUT, OUTPUT
from model.descriptions.neighbours.gallery import GRAPH, Gallery
from model.errors import ConfigError
from model.manifest import MANIFEST, describe_files, published_directory, write_text_atomically
from model.nn.backbones import ImageBackbone, load_image_backbone
from training.data.dataset import ImageTextDataset
from training.data.features import image_feature_table
from training.onnx_export import export_graph

FORMAT = "aahr-neighbours/1"
SETTINGS = NeighbourSettings()


class GlobalFeatures(nn.Module):
    """A backbone's global features alone."""

    def __init__(self, backbone: ImageBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [N, 3, S, S] to [N, Dg]."""
        features: Tensor = self.backbone(pixels).global_features
        return features


def write_neighbours(
    directory: Path,
    dataset: ImageTextDataset,
    cache: Path,
    *,
    backbone: str = "efficientnet-lite0",
    path: Path | None = None,
    settings: NeighbourSettings = SETTINGS,
) -> None:
    """Write the describer in one rename; `dataset` is a training split and nothing else, `path` is of the weights.

    Raises ConfigError for a backbone that takes no images, and DataError for an image that cannot be read.
    """
    encoder = load_image_backbone(backbone, path)
    if encoder.preprocessing is None:
        raise ConfigError(f"backbone '{backbone}' takes precomputed regions; neighbours are found among images")
    features = image_feature_table(encoder, dataset.image_paths, cache).global_features
    order = np.argsort(dataset.image_of_caption, kind="stable")
    own = np.split(order, np.cumsum(np.bincount(dataset.image_of_caption, minlength=len(dataset)))[:-1])
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    gallery = Gallery(unit, tuple(tuple(dataset.captions[row] for row in rows) for rows in own))
    file = NeighboursFile(
        backbone=encoder.name,
        fingerprint=encoder.fingerprint,
        dimension=encoder.global_dimension,
        preprocessing=encoder.preprocessing,
        settings=settings,
    )
    with published_directory(directory) as staging:
        size = encoder.preprocessing.size
        example = {INPUT: torch.zeros(2, 3, size, size)}
        export_graph(GlobalFeatures(encoder).eval(), example, (OUTPUT,), {INPUT: (0,)}, staging / GRAPH)
        write_gallery(staging, gallery, file)
        files = describe_files(staging, [each.name for each in staging.iterdir()])
        manifest = {"format": FORMAT, "files": {name: entry.model_dump() for name, entry in files.items()}}
        write_text_atomically(staging / MANIFEST, json.dumps(manifest, indent=2) + "\n")
