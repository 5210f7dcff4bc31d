"""Tiny models for tests: complete artifacts of a few kilobytes, made without torch, that know colours.

An image's embedding comes from its mean colour, a text's from its colour words, so that "red" finds red images.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import ImageColor
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

from model.artifact import (
    ImageInput,
    ModelArtifact,
    ModelManifest,
    Precision,
    Semantics,
    SemanticsReference,
    load_model_artifact,
    write_manifest,
    write_semantics,
)
from model.calibration import Calibration, DirectionCalibration, Logistic, write_calibration
from model.origins import CheckpointReference
from model.preprocess import ImagePreprocessing, Preprocessing, TextPreprocessing

COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta", "orange", "purple", "gray", "black", "white")
WORDS = ("a", "an", "and", "the", "of", "in", "on", "picture", "photograph", "square", "circle", "dog", "cat", "beach")
IMAGE_SIZE = 8
MAX_LENGTH = 16

Floats = NDArray[np.float32]
GraphInputs = Mapping[str, tuple[int, Sequence[int | str]]]


def write_colour_model(
    directory: Path, *, dimension: int = 16, seed: int = 0, semantics: SemanticsReference | None = None
) -> ModelArtifact:
    """A model of pixels [N, 3, 8, 8]; another seed gives other bytes, hence another model_id. D must be at least 4.

    With `semantics` it fuses them: norm(embedding + semantics), for images and texts, from colour words again.
    """
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["grid"], kernel_shape=[4, 4], strides=[4, 4]),  # [N, 3, 2, 2]
        helper.make_node("Reshape", ["grid", "cell_shape"], ["flat"]),  # [N, 3, 4]
        helper.make_node("Transpose", ["flat"], ["cells"], perm=[0, 2, 1]),  # [N, R, 3]
        helper.make_node("MatMul", ["cells", "colour_axes"], ["products"]),
        helper.make_node("Add", ["products", "offset"], ["local_features"]),  # [N, R, D]
        helper.make_node("ReduceMean", ["local_features", "cell_axis"], ["local_embedding"], keepdims=0),
    ]
    axes = _colour_axes(dimension, seed)
    constants = {"colour_axes": axes[:3], "offset": _GREY * axes[3], "cell_shape": np.array([0, 3, 4])}
    inputs: GraphInputs = {"pixels": (TensorProto.FLOAT, ["N", 3, IMAGE_SIZE, IMAGE_SIZE])}
    preprocessing = ImagePreprocessing(
        size=IMAGE_SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="squash", interpolation="bilinear"
    )
    directory.mkdir(parents=True, exist_ok=True)
    _write_graph(directory / "image.onnx", nodes, inputs, constants, dimension, fused=semantics is not None)
    return _finish(directory, dimension, seed, "pixels", preprocessing, semantics)


def write_region_model(
    directory: Path, *, dimension: int = 16, seed: int = 0, semantics: SemanticsReference | None = None
) -> ModelArtifact:
    """A model of regions [N, R, 3] that are colours of -1 to 1; its global features [N, 3] are added to each."""
    nodes = [
        helper.make_node("Unsqueeze", ["global_features", "cell_axis"], ["global"]),  # [N, 1, 3]
        helper.make_node("Add", ["regions", "global"], ["cells"]),
        helper.make_node("MatMul", ["cells", "colour_axes"], ["products"]),
        helper.make_node("Add", ["products", "offset"], ["local_features"]),  # [N, R, D]
        helper.make_node("Cast", ["region_mask"], ["valid"], to=TensorProto.FLOAT),
        *_masked_mean(),
    ]
    axes = _colour_axes(dimension, seed)
    inputs: GraphInputs = {
        "regions": (TensorProto.FLOAT, ["N", "R", 3]),
        "region_mask": (TensorProto.BOOL, ["N", "R"]),
        "global_features": (TensorProto.FLOAT, ["N", 3]),
    }
    constants = {"colour_axes": axes[:3], "offset": _GREY * axes[3], "last_axis": np.array([2])}
    directory.mkdir(parents=True, exist_ok=True)
    _write_graph(directory / "image.onnx", nodes, inputs, constants, dimension, fused=semantics is not None)
    return _finish(directory, dimension, seed, "regions", None, semantics)


# A constant fourth coordinate: no colour, not even middle grey, has an embedding of length zero.
_GREY = 0.3


def _colour_axes(dimension: int, seed: int) -> Floats:
    """Four orthonormal rows [4, D]: cosines between embeddings are those between colours."""
    columns = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimension, 4)))[0]
    return columns.T.astype(np.float32)


def _finish(
    directory: Path,
    dimension: int,
    seed: int,
    image_input: ImageInput,
    preprocessing: ImagePreprocessing | None,
    semantics: SemanticsReference | None = None,
) -> ModelArtifact:
    vocabulary = ["[UNK]", "[PAD]", *COLOURS, *WORDS]
    _write_text_graph(directory / "text.onnx", vocabulary, dimension, seed, fused=semantics is not None)
    _write_tokenizer(directory / "tokenizer.json", vocabulary)
    if semantics is not None:
        _write_sentence_encoder(directory, vocabulary, dimension, seed)
    write_manifest(
        directory,
        name="colours",
        dimension=dimension,
        image_input=image_input,
        image_backbone="mean-colour",
        text_backbone="colour-words",
        semantics=semantics,
        checkpoint=CheckpointReference(sha256="0" * 64, epoch=1, step=1, seed=seed, config_sha256="0" * 64),
        evaluation={"rsum": 600.0},
        preprocessing=Preprocessing(image=preprocessing, text=TextPreprocessing(max_length=MAX_LENGTH)),
        versions={"onnx": onnx.__version__},
    )
    return load_model_artifact(directory)


MISSING_LENGTH = 0.25
"""Of the colour model's missing description, which points to grey."""


def _write_sentence_encoder(directory: Path, vocabulary: list[str], dimension: int, seed: int) -> None:
    """The text graph without the fusion, its embedding as the one output, and what goes with it."""
    _write_text_graph(directory / "sentence.onnx", vocabulary, dimension, seed)
    model = onnx.load(directory / "sentence.onnx")
    model.graph.node.append(helper.make_node("Identity", ["embedding"], ["semantics"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("semantics", TensorProto.FLOAT, ["rows", dimension]))
    onnx.save(model, directory / "sentence.onnx")
    _write_tokenizer(directory / "sentence_tokenizer.json", vocabulary)
    missing = MISSING_LENGTH * _colour_axes(dimension, seed)[3]
    write_semantics(directory, Semantics(max_length=MAX_LENGTH, missing=tuple(missing.tolist())))


def _write_text_graph(path: Path, vocabulary: list[str], dimension: int, seed: int, *, fused: bool = False) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["local_features"]),  # [M, T, D]
        helper.make_node("Cast", ["attention_mask"], ["valid"], to=TensorProto.FLOAT),
        *_masked_mean(),
    ]
    inputs: GraphInputs = {name: (TensorProto.INT64, ["M", "T"]) for name in ("input_ids", "attention_mask")}
    table = _word_table(vocabulary, dimension, seed)
    _write_graph(path, nodes, inputs, {"table": table, "last_axis": np.array([2])}, dimension, fused=fused)


def _word_table(vocabulary: list[str], dimension: int, seed: int) -> Floats:
    """A colour word lies where an image of that colour does, any other word is short and points anywhere [V, D]."""
    table = 0.02 * np.random.default_rng(seed + 1).normal(size=(len(vocabulary), dimension)).astype(np.float32)
    axes = _colour_axes(dimension, seed)
    for row, word in enumerate(vocabulary):
        if word in COLOURS:
            colour = np.array(ImageColor.getrgb(word)[:3]) / 127.5 - 1
            table[row] = np.array([*colour, _GREY], np.float32) @ axes
    return table


def _masked_mean() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Unsqueeze", ["valid", "last_axis"], ["weights"]),  # [M, T, 1]
        helper.make_node("Mul", ["local_features", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "cell_axis"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weights", "cell_axis"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["local_embedding"]),  # [M, D]
    ]


def _write_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: GraphInputs,
    constants: Mapping[str, NDArray[Any]],
    dimension: int,
    *,
    fused: bool = False,
) -> None:
    """Close the graph with the L2 norm, or with the norm of its sum with semantics, and write it."""
    own = "plain" if fused else "embedding"
    nodes = [*nodes, helper.make_node("LpNormalization", ["local_embedding"], [own], axis=-1, p=2)]
    if fused:
        inputs = {**inputs, "semantics": (TensorProto.FLOAT, [next(iter(inputs.values()))[1][0], dimension])}
        nodes.append(helper.make_node("Add", ["plain", "semantics"], ["both"]))
        nodes.append(helper.make_node("LpNormalization", ["both"], ["embedding"], axis=-1, p=2))
    shapes: dict[str, list[int | str]] = {
        "embedding": ["rows", dimension],
        "local_features": ["rows", "cells", dimension],
        "local_embedding": ["rows", dimension],
    }
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(v, name) for name, v in {**constants, "cell_axis": np.array([1])}.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _write_tokenizer(path: Path, vocabulary: list[str]) -> None:
    tokenizer = Tokenizer(WordLevel({word: row for row, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_padding(pad_id=vocabulary.index("[PAD]"), pad_token="[PAD]", length=20)
    tokenizer.save(str(path))


def write_first_format(artifact: ModelArtifact) -> ModelArtifact:
    """The same model as an earlier version of `aahr export` wrote it."""
    path = artifact.directory / "manifest.json"
    path.write_text(artifact.manifest.model_copy(update={"format": "aahr-model/1"}).model_dump_json())
    return load_model_artifact(artifact.directory)


def rewrite_manifest(artifact: ModelArtifact, precision: Precision = "fp32") -> ModelManifest:
    """A new manifest for the directory of an artifact whose files were changed."""
    manifest = artifact.manifest
    return write_manifest(
        artifact.directory,
        name=manifest.name,
        precision=precision,
        dimension=manifest.dimension,
        image_input=manifest.image_input,
        image_backbone=manifest.image_backbone,
        text_backbone=manifest.text_backbone,
        semantics=manifest.semantics,
        checkpoint=manifest.checkpoint,
        evaluation=manifest.evaluation,
        preprocessing=artifact.preprocessing,
        versions=manifest.versions,
    )


def write_calibrated(artifact: ModelArtifact, *, intercept: float = -10.0, margin: float = 0.05) -> ModelArtifact:
    """The same model with a calibration: among four items, 0.5 has the probability 0.5 by this intercept."""
    direction = DirectionCalibration(
        curve=Logistic(slope=20.0, intercept=intercept),
        margin=margin,
        gallery=4,
        pairs=1000,
        matches=0.1,
        calibration_error=0.01,
    )
    calibration = Calibration(data="colours val", top=10, text_to_image=direction, image_to_text=direction)
    write_calibration(artifact.directory, calibration)
    rewrite_manifest(artifact)
    return load_model_artifact(artifact.directory)
