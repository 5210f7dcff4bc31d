"""Linear layers of an ONNX graph in 8 bits, each row of the input quantised by its own range.

A row is divided by its largest absolute value, which makes its range [-1, 1] whatever it holds, and quantised with the
one constant scale that belongs to this range: an item then never depends on the others of its batch, and the product is
ONNX Runtime's plain one of bytes, several times faster than fp32. The weights have a scale per column and 7 bits: two
products of a byte with them fit into 16 bits, in which processors without VNNI add them, so that every processor
computes the same (docs/decisions/0008).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

_DOMAIN = "com.microsoft"
_LARGEST_ROW, _LARGEST_WEIGHT = 127, 63
_ZERO_OF_ROWS = 128
# The product of a smaller matrix takes no longer than quantising its input.
_LEAST_WEIGHTS = 4096

_AXIS, _LEAST_RANGE, _SCALE, _ZERO, _NO_ZERO = (
    f"bytes_{name}" for name in ("axis", "least_range", "scale", "zero", "no_zero")
)


def linear_layers_in_8_bits(model: ModelProto) -> None:
    """Replace every product with a constant matrix [K, N], in place; smaller ones, and `Gemm`, stay as they are."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer if _is_large_matrix(tensor)}
    nodes: list[NodeProto] = []
    constants: dict[str, NDArray[np.generic]] = {}
    quantised: set[str] = set()
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            nodes.append(node)
            continue
        rows, matrix = node.input
        if rows not in quantised:  # by several products, as that of queries, keys and values
            quantised.add(rows)
            nodes += _quantised_rows(rows)
        constants |= _quantised_weights(matrix, numpy_helper.to_array(weights[matrix]).astype(np.float32))
        nodes += _product(rows, matrix, node)
    if quantised:
        _replace(graph, nodes, constants | _shared_constants())
        if all(opset.domain != _DOMAIN for opset in model.opset_import):
            model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))


def _is_large_matrix(tensor: TensorProto) -> bool:
    return len(tensor.dims) == 2 and int(np.prod(tensor.dims)) >= _LEAST_WEIGHTS


def _quantised_rows(rows: str) -> Iterator[NodeProto]:
    """`rows` [..., K] as bytes, and their ranges [..., 1]; a row of zeros has the least range instead of none."""
    yield helper.make_node("Abs", [rows], [f"{rows}_absolute"])
    yield helper.make_node("ReduceMax", [f"{rows}_absolute", _AXIS], [f"{rows}_largest"], keepdims=1)
    yield helper.make_node("Max", [f"{rows}_largest", _LEAST_RANGE], [f"{rows}_range"])
    yield helper.make_node("Div", [rows, f"{rows}_range"], [f"{rows}_unit"])
    yield helper.make_node("QuantizeLinear", [f"{rows}_unit", _SCALE, _ZERO], [f"{rows}_bytes"])


def _quantised_weights(name: str, matrix: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    scales = np.abs(matrix).max(axis=0) / _LARGEST_WEIGHT
    scales[scales == 0] = 1
    return {f"{name}_bytes": np.rint(matrix / scales).astype(np.int8), f"{name}_scales": scales.astype(np.float32)}


def _product(rows: str, matrix: str, node: NodeProto) -> Iterator[NodeProto]:
    inputs = [f"{rows}_bytes", f"{matrix}_bytes", _SCALE, f"{matrix}_scales", _ZERO, _NO_ZERO]
    unit = f"{node.output[0]}_of_unit_rows"
    yield helper.make_node("MatMulIntegerToFloat", inputs, [unit], name=f"{node.name}_bytes", domain=_DOMAIN)
    yield helper.make_node("Mul", [unit, f"{rows}_range"], [node.output[0]])


def _shared_constants() -> dict[str, NDArray[np.generic]]:
    return {
        _AXIS: np.array([-1], np.int64),
        _LEAST_RANGE: np.array(np.finfo(np.float32).tiny, np.float32),
        _SCALE: np.array(1 / _LARGEST_ROW, np.float32),
        _ZERO: np.array(_ZERO_OF_ROWS, np.uint8),
        _NO_ZERO: np.array(0, np.int8),
    }


def _replace(graph: GraphProto, nodes: list[NodeProto], constants: dict[str, NDArray[np.generic]]) -> None:
    """Other nodes, and of the constants those that they read."""
    read = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *(numpy_helper.from_array(values, name) for name, values in constants.items())])
