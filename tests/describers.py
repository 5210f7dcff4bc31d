"""A tiny describer by neighbours, for tests: squares of one colour, found by their mean colour."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageColor

from model.descriptions.neighbours import NeighboursFile, write_gallery
from model.descriptions.neighbours.consensus import NeighbourSettings
from model.descriptions.neighbours.gallery import Gallery
from model.preprocess import ImagePreprocessing, prepare_images

COLOURS = {
    "red": ("a red square", "something red"),
    "darkred": ("a dark red square .", "red , but dark"),
    "blue": ("a blue sky", "the sky is blue"),
    "navy": ("a dark blue sky", "night sky"),
}


PREPROCESSING = ImagePreprocessing(size=4, mean=(0.0,) * 3, std=(1.0,) * 3, resize="squash", interpolation="bilinear")


def embed(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean colour [n, 3] with a constant beside it; of any length."""
    colours = pixels.mean(axis=(2, 3))
    return np.concatenate([colours, np.full((len(colours), 1), 0.2, np.float32)], axis=1)


def square(colour: str) -> Image.Image:
    return Image.new("RGB", (4, 4), ImageColor.getrgb(colour))


def gallery(**captions: tuple[str, ...]) -> Gallery:
    chosen = captions or COLOURS
    vectors = embed(prepare_images([square(colour) for colour in chosen], PREPROCESSING))
    return Gallery(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tuple(chosen.values()))


def described_by(**settings: int) -> NeighboursFile:
    return NeighboursFile(
        backbone="mean-colour",
        fingerprint="0" * 64,
        dimension=4,
        preprocessing=PREPROCESSING,
        settings=NeighbourSettings(**{"neighbours": 1, "sentences": 1, **settings}),
    )


def write_describer(directory: Path, of: Gallery | None = None, **settings: int) -> Path:
    """All files, with a graph that does what `embed` does."""
    directory.mkdir(exist_ok=True)
    write_gallery(directory, of or gallery(), described_by(**settings))
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["colour"], keepdims=0),
        helper.make_node("Pad", ["colour", "pads", "constant"], ["global_features"]),
    ]
    constants = {"axes": np.array([2, 3]), "pads": np.array([0, 0, 0, 1]), "constant": np.float32(0.2)}
    graph = helper.make_graph(
        nodes,
        "neighbours",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, 4, 4])],
        [helper.make_tensor_value_info("global_features", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, directory / "neighbours.onnx")
    return directory
