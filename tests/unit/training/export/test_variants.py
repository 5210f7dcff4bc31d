"""Graphs in fewer bits: the same interface, nearly the same outputs, equal bytes for equal input."""

import logging
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.artifact import Precision
from model.errors import TrainingError
from model.onnx_session import OnnxSession
from model.runtime import Runtime
from tests.artifacts import COLOURS, write_colour_model
from tests.variants import GRAPHS, write_colour_variant, write_variant
from training.export.variants import CONVOLUTIONS_IN_FP32, write_fp16, write_int8

CHANNELS, DIMENSION, SIZE = 8, 512, 8
WIDTH = 256
LAYERS = CONVOLUTIONS_IN_FP32 + 3
VARIANTS: tuple[Precision, ...] = ("fp16", "int8")

Floats = NDArray[np.float32]


def write_convolutions(path: Path) -> None:
    """A stack of 3 x 3 convolutions with ReLU6, then a linear layer over the cells."""
    rng = np.random.default_rng(0)
    nodes, weights, last = [], {}, "pixels"
    for layer in range(LAYERS):
        width = 3 if layer == 0 else CHANNELS
        weights[f"w{layer}"] = rng.normal(0, (2 / (9 * width)) ** 0.5, (CHANNELS, width, 3, 3)).astype(np.float32)
        inputs, given, clipped = [last, f"w{layer}"], f"conv{layer}", f"clip{layer}"
        nodes.append(helper.make_node("Conv", inputs, [given], name=given, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Clip", [given, "zero", "six"], [clipped], name=clipped))
        last = clipped
    nodes += [
        helper.make_node("Reshape", [last, "cells_shape"], ["flat"]),  # [N, C, R]
        helper.make_node("Transpose", ["flat"], ["cells"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["cells", "linear"], ["local_features"], name="linear_layer"),  # [N, R, D]
        helper.make_node("ReduceMean", ["local_features", "axis"], ["local_embedding"], keepdims=0),
        helper.make_node("LpNormalization", ["local_embedding"], ["embedding"], axis=-1, p=2),
    ]
    weights |= {"zero": np.float32(0), "six": np.float32(6), "axis": np.array([1])}
    weights |= {"cells_shape": np.array([0, CHANNELS, SIZE * SIZE])}
    weights |= {"linear": rng.normal(size=(CHANNELS, DIMENSION)).astype(np.float32)}
    shapes = {"embedding": ["N"], "local_features": ["N", "R"], "local_embedding": ["N"]}
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [*axes, DIMENSION]) for name, axes in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def pixels(count: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def embeddings(path: Path, batch: Floats) -> Floats:
    return OnnxSession(path, inputs=["pixels"], dimension=DIMENSION).run({"pixels": batch}, ["embedding"])[0]


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graphs") / "convolutions.onnx"
    write_convolutions(path)
    return path


@pytest.mark.parametrize("precision", VARIANTS)
def test_a_variant_finds_what_the_fp32_model_finds(precision: Precision, tmp_path: Path) -> None:
    exact, variant = write_colour_model(tmp_path / "exact"), write_colour_variant(tmp_path / "variant", precision)
    assert (exact.manifest.precision, variant.manifest.precision) == ("fp32", precision)
    assert exact.manifest.model_id != variant.manifest.model_id
    with Runtime.load(exact, workers=1) as first, Runtime.load(variant, workers=1) as second:
        batch = np.random.default_rng(0).uniform(-1, 1, (5, 3, 8, 8)).astype(np.float32)
        texts = [f"a {colour} square" for colour in COLOURS]
        assert ((first.encode_texts(texts) * second.encode_texts(texts)).sum(axis=1) > 0.999).all()
        assert ((first.encode_pixels(batch) * second.encode_pixels(batch)).sum(axis=1) > 0.999).all()
        for found in (second.encode_pixels(batch), second.encode_texts(texts)):
            assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(found)), abs=1e-6)
        local = second.pixels_local(batch)
        assert [array.dtype for array in local] == [np.float32] * 3


@pytest.mark.parametrize("precision", VARIANTS)
def test_equal_input_gives_equal_bytes(precision: Precision, tmp_path: Path) -> None:
    exact = write_colour_model(tmp_path / "exact").directory
    for graph in GRAPHS:
        for name in ("first", "second"):
            write_variant(exact / graph, tmp_path / name, precision)
        assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_convolutions_behind_the_first_are_calibrated(convolutions: Path, tmp_path: Path) -> None:
    calibration = [pixels(4, seed) for seed in range(4)]
    for name in ("first.onnx", "second.onnx"):
        write_int8(convolutions, tmp_path / name, calibration)
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    graph = onnx.load(tmp_path / "first.onnx").graph
    given = {output: node.op_type for node in graph.node for output in node.output}
    of_weights = [given.get(node.input[1]) for node in graph.node if node.op_type == "Conv"]
    assert of_weights == [None] * CONVOLUTIONS_IN_FP32 + ["DequantizeLinear"] * (LAYERS - CONVOLUTIONS_IN_FP32)
    assert [node.op_type for node in graph.node if node.name.startswith("linear_layer")] == ["MatMulIntegerToFloat"]
    batch = pixels(8, 100)
    cosines = (embeddings(convolutions, batch) * embeddings(tmp_path / "first.onnx", batch)).sum(axis=1)
    assert cosines.min() > 0.99
    assert cosines.min() < 1 - 1e-6  # something was quantised


def test_without_calibration_convolutions_stay(convolutions: Path, tmp_path: Path) -> None:
    write_int8(convolutions, tmp_path / "int8.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert "Conv" in kinds
    assert not kinds & {"DequantizeLinear", "QLinearConv", "ConvInteger"}


@pytest.mark.parametrize("precision", VARIANTS)
def test_an_item_does_not_depend_on_its_batch(convolutions: Path, tmp_path: Path, precision: Precision) -> None:
    target = tmp_path / "variant.onnx"
    if precision == "int8":
        write_int8(convolutions, target, [pixels(4, 0)])
    else:
        write_fp16(convolutions, target)
    batch = np.concatenate([pixels(1, 1), 20 * pixels(3, 2)])  # companions of another size
    assert embeddings(target, batch)[:1] == pytest.approx(embeddings(target, batch[:1]), abs=1e-6)


def test_sums_of_squares_beyond_fp16_do_not_overflow(tmp_path: Path) -> None:
    write_convolutions(tmp_path / "exact.onnx")
    write_fp16(tmp_path / "exact.onnx", tmp_path / "fp16.onnx")
    graph = onnx.load(tmp_path / "fp16.onnx").graph
    (norm,) = (node for node in graph.node if node.op_type == "LpNormalization")
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    assert {"w0", "linear"} <= halves
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    assert casts[norm.input[0]].attribute[0].i == TensorProto.FLOAT
    large = 300 * pixels(2, 3)
    assert np.isfinite(embeddings(tmp_path / "fp16.onnx", large)).all()


@pytest.mark.parametrize("value", [70_000.0, -1e9, float("inf"), float("nan")])
def test_a_weight_that_fp16_cannot_hold_is_refused(convolutions: Path, tmp_path: Path, value: float) -> None:
    model = onnx.load(convolutions)
    (linear,) = (tensor for tensor in model.graph.initializer if tensor.name == "linear")
    values = numpy_helper.to_array(linear).copy()
    values[1, 2] = value
    linear.CopyFrom(numpy_helper.from_array(values, "linear"))
    onnx.save(model, tmp_path / "exact.onnx")
    with pytest.raises(TrainingError, match=re.escape(f"weight linear has the value {value:g}, which fp16 cannot")):
        write_fp16(tmp_path / "exact.onnx", tmp_path / "fp16.onnx")
    assert not (tmp_path / "fp16.onnx").exists()


@pytest.mark.parametrize("fill", [float("-inf"), float(np.finfo(np.float32).min)])
def test_what_hides_padding_may_be_as_low_as_it_likes(convolutions: Path, tmp_path: Path, fill: float) -> None:
    model = onnx.load(convolutions)
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, fill], np.float32), "padding"))
    onnx.save(model, tmp_path / "exact.onnx")
    write_fp16(tmp_path / "exact.onnx", tmp_path / "fp16.onnx")
    assert (tmp_path / "fp16.onnx").exists()


def test_nothing_is_left_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exact = write_colour_model(tmp_path).directory
    handlers, level = list(logging.root.handlers), logging.root.level
    write_int8(exact / "text.onnx", tmp_path / "int8.onnx")
    assert caplog.records == []
    assert (logging.root.handlers, logging.root.level) == (handlers, level)
    assert logging.root.manager.disable == logging.NOTSET


def test_tables_and_linear_layers_shrink(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table, linear = (rng.normal(size=(rows, WIDTH)).astype(np.float32) for rows in (1000, WIDTH))
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"], name="words"),
        helper.make_node("MatMul", ["words", "linear"], ["states"], name="states"),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["M", "T"])],
        [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["M", "T", WIDTH])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(linear, "linear")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "fp32.onnx")
    write_int8(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    exact, small = ((tmp_path / name).stat().st_size for name in ("fp32.onnx", "int8.onnx"))
    assert small < 0.28 * exact
