"""A torch module to an ONNX file with dynamic axes."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

# A message has at most 2 GB; the nodes and folded constants want their part.
MAX_BYTES_INSIDE = 1_900_000_000


def export_graph(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic_axes: Mapping[str, Sequence[int]],
    file: Path,
) -> None:
    """Write an ONNX file; the keys of `inputs` are the names in `module.forward` and in the graph.

    The weights lie inside it, or in FILE.data where they are more than a protobuf message holds.

    Example tensors should be at least 2 long at every dynamic axis: the exporter takes 0 and 1 for special sizes.
    """
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            # Copies: one tensor under two names would be traced as one input, and the second silently ignored.
            kwargs={name: tensor.clone() for name, tensor in inputs.items()},
            input_names=list(inputs),
            dynamic_shapes={name: dict.fromkeys(dynamic_axes[name], Dim.DYNAMIC) for name in inputs},
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # only the exporter without dynamo returns None
        _name_outputs(program.model.graph, outputs)
        _forget_tracing(program.model.graph)
        program.save(file, external_data=_bytes_of(module) > MAX_BYTES_INSIDE)


def _bytes_of(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _forget_tracing(graph: Any) -> None:
    """Drop the exporter's notes: they name addresses in memory, so that equal networks would be different models."""
    for node in graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def _name_outputs(graph: Any, names: Sequence[str]) -> None:
    """Name the outputs of an onnx_ir graph, and rename inner values that have such a name.

    BERT computes an `embedding`; CLIP has one as a constant, folded from its positions.
    """
    final = set(graph.outputs)
    computed = (value for node in graph for value in node.outputs)
    for value in [*graph.initializers.values(), *computed]:
        if value.name in names and value not in final:
            value.name = f"{value.name}_inner"
    for value, name in zip(graph.outputs, names, strict=True):
        value.name = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's deprecations of its own parts and its lines about torchvision, which is not used here."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
