"""The tiny model of colours in fewer bits, for tests of what loads it."""

from pathlib import Path

from model.artifact import ModelArtifact, Precision, load_model_artifact
from tests.artifacts import rewrite_manifest, write_colour_model
from training.export.variants import write_fp16, write_int8

GRAPHS = ("image.onnx", "text.onnx")


def write_colour_variant(directory: Path, precision: Precision) -> ModelArtifact:
    """The model of `write_colour_model`, with a precision of its own."""
    exact = write_colour_model(directory)
    for graph in GRAPHS if precision != "fp32" else ():
        write_variant(directory / graph, directory / graph, precision)
    rewrite_manifest(exact, precision)
    return load_model_artifact(directory)


def write_variant(source: Path, target: Path, precision: Precision) -> None:
    """A graph in fp16, or in int8 without calibration."""
    (write_fp16 if precision == "fp16" else write_int8)(source, target)
