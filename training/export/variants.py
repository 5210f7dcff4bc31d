"""An exported fp32 model in fewer bits: fp16 for a GPU, int8 for a CPU.

Works on ONNX files alone, with what comes with ONNX Runtime; docs/decisions/0008 says why each part is as it is.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from model.errors import TrainingError
from training.export.linear_in_8_bits import linear_layers_in_8_bits

# Sums of squares and exponentials leave the range of fp16, and what is divided by them keeps few digits.
NORMALISING = ("LayerNormalization", "Softmax", "ReduceL2", "ReduceSum", "ReduceMean", "LpNormalization")
# Next to the pixels 8 bits cost most: with all convolutions in 8 bits one image in 1,000 is at a cosine of 0.86 with
# what it was, with these in fp32 at 0.99.
CONVOLUTIONS_IN_FP32 = 6

Floats = NDArray[np.float32]


def write_fp16(source: Path, target: Path) -> None:
    """A graph with weights and arithmetic in fp16; inputs, outputs, normalisations and softmax stay fp32.

    Raises TrainingError for a weight that fp16 cannot hold.
    """
    blocked = [*DEFAULT_OP_BLOCK_LIST, *NORMALISING]
    convert: Any = convert_float_to_float16
    exact = _load(source)
    _refuse_beyond_fp16(exact.graph)
    model: ModelProto = convert(exact, keep_io_types=True, op_block_list=blocked)
    _normalise_again(model.graph, model.graph.output[0].name)
    onnx.save(model, target)


def write_int8(source: Path, target: Path, calibration: Sequence[Floats] = ()) -> None:
    """A graph with weights of 8 bits: convolutions, linear layers and tables of embeddings.

    calibration: pixels [N, 3, H, W] from which the ranges of what convolutions take and give are read; without them
    convolutions stay fp32. The gate of the fusion, the norms and the softmax stay fp32 in any case.
    """
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        model = _load(source)
        if calibration and len(_convolutions(model)) > CONVOLUTIONS_IN_FP32:
            model = _convolutions_in_8_bits(model, calibration, Path(folder) / "convolutions.onnx")
        linear_layers_in_8_bits(model)
        quantize_dynamic(model, target, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)


def _load(path: Path) -> ModelProto:
    """Without the exporter's notes on inner shapes: some of them contradict what onnx infers, which is an error."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    return model


def _refuse_beyond_fp16(graph: GraphProto) -> None:
    """The conversion would clip large weights, and keep NaN, silently."""
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        masking = (values == -np.inf) | (values == np.finfo(np.float32).min)  # what is added to hide padding
        beyond = ~masking & ~(np.abs(values) <= np.finfo(np.float16).max)
        if beyond.any():
            raise TrainingError(
                f"the weight {tensor.name} has the value {values[beyond][0]:g}, which fp16 cannot hold; nothing was "
                "written: serve the fp32 model"
            )


def _normalise_again(graph: GraphProto, output: str) -> None:
    """Embeddings or semantics in fp32 to length 1: rounded to fp16 they are off by more than an index takes."""
    rounded = f"{output}_rounded"
    for node in graph.node:
        node.output[:] = [rounded if name == output else name for name in node.output]
        node.input[:] = [rounded if name == output else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), f"{output}_axes"))
    graph.node.append(helper.make_node("ReduceL2", [rounded, f"{output}_axes"], [f"{output}_length"], keepdims=1))
    graph.node.append(helper.make_node("Div", [rounded, f"{output}_length"], [output]))


def _convolutions(model: ModelProto) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


def _convolutions_in_8_bits(model: ModelProto, calibration: Sequence[Floats], staging: Path) -> ModelProto:
    """With their clipping (ReLU6), which ONNX Runtime then folds into them; weights have a scale per channel."""
    convolutions = _convolutions(model)[CONVOLUTIONS_IN_FP32:]
    given = {output for node in convolutions for output in node.output}
    clips = [node for node in model.graph.node if node.op_type == "Clip" and node.input[0] in given]
    quantize_static(
        model,
        staging,
        _Batches(model.graph, calibration),
        nodes_to_quantize=[node.name for node in (*convolutions, *clips)],
        op_types_to_quantize=["Conv", "Clip"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(staging)


class _Batches(CalibrationDataReader):
    """Batches of pixels, one after the other.

    Semantics, which join behind the last convolution and change no range of one, are zero.
    """

    def __init__(self, graph: GraphProto, batches: Sequence[Floats]) -> None:
        pixels, *others = graph.input
        widths = {other.name: other.type.tensor_type.shape.dim[1].dim_value for other in others}
        self._feeds = iter([{pixels.name: batch, **_zeros(len(batch), widths)} for batch in batches])

    def get_next(self) -> dict[str, Floats]:
        """The next feed; an empty one when there is no more."""
        return next(self._feeds, {})


def _zeros(rows: int, widths: Mapping[str, int]) -> dict[str, Floats]:
    return {name: np.zeros((rows, width), np.float32) for name, width in widths.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a line for each node, and without the advice to run a preprocessing that the graphs do not need."""
    before, handler = logging.root.manager.disable, logging.NullHandler()
    logging.root.addHandler(handler)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        logging.root.removeHandler(handler)
