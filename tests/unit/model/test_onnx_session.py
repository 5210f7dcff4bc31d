"""One ONNX graph: what does not fit is refused, and a fault harms nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model.errors import ArtifactCorrupt, ArtifactError, InvalidInput
from model.onnx_session import OUTPUTS, OnnxSession


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that returns row `rows` of a table of three, divided by `scale`, for every output."""
    nodes = [
        helper.make_node("Gather", ["table", "rows"], ["gathered"]),
        helper.make_node("Div", ["gathered", "scale"], ["embedding"]),
        helper.make_node("Identity", ["embedding"], ["local_features"]),
        helper.make_node("Identity", ["embedding"], ["local_embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [
            helper.make_tensor_value_info("rows", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, ["N", 1]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in OUTPUTS],
        [helper.make_tensor("table", TensorProto.FLOAT, [3, 2], [1, 2, 3, 4, 5, 6])],
    )
    path = tmp_path_factory.mktemp("graph") / "table.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def graph(path: Path) -> OnnxSession:
    return OnnxSession(path, inputs=["rows", "scale"], dimension=2)


def feeds(rows: list[int], scale: list[float]) -> dict[str, NDArray[Any]]:
    return {"rows": np.array(rows), "scale": np.array(scale, np.float32)[:, None]}


def test_the_named_outputs_are_given_in_order(graph: OnnxSession) -> None:
    good = feeds([2, 0], [1, 2])
    graph.check(good)
    embedding, features = graph.run(good, ["embedding", "local_features"])
    assert embedding.tolist() == features.tolist() == [[5, 6], [0.5, 1]]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("rows", np.zeros(2, np.int32), r"rows is int32 \[2\], .*takes tensor\(int64\) \[N\]"),
        ("rows", np.zeros((2, 1), np.int64), r"rows is int64 \[2, 1\], .*takes tensor\(int64\) \[N\]"),
        ("scale", np.zeros((2, 3), np.float32), r"scale is float32 \[2, 3\], .*takes tensor\(float\) \[N, 1\]"),
        ("scale", np.zeros((2, 1), np.float64), r"scale is float64 \[2, 1\], .*takes tensor\(float\) \[N, 1\]"),
    ],
)
def test_another_type_or_shape_is_refused(graph: OnnxSession, name: str, array: NDArray[Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        graph.check({**feeds([1], [1]), name: array})


def test_a_failing_call_names_the_graph_and_the_next_one_works(graph: OnnxSession, path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"table\.onnx failed on rows \[1\], scale \[1, 1\]") as caught:
        graph.run(feeds([99], [1]), OUTPUTS)
    assert "\n" not in str(caught.value)
    assert str(path.parent) not in str(caught.value)
    assert caught.value.detail == str(path)
    assert graph.run(feeds([1], [1]), OUTPUTS)[0].tolist() == [[3, 4]]


def test_values_that_are_not_finite_are_refused_by_row(graph: OnnxSession) -> None:
    with pytest.raises(InvalidInput, match=r"embedding that is not finite for the rows \[1\] of a batch"):
        graph.run(feeds([0, 1, 2], [1, 0, 1]), ["embedding"])
    assert np.isfinite(graph.run(feeds([0, 2], [1, 1]), ["embedding"])[0]).all()


def test_another_dimension_than_the_manifests_is_refused_with_both(path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match="embedding of dimension 2, its manifest says 256"):
        OnnxSession(path, inputs=["rows", "scale"], dimension=256).run(feeds([0], [1]), ["embedding"])


def test_other_inputs_are_refused_with_both(path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match=r"has the inputs \['rows', 'scale'\], expected \['pixels'\]"):
        OnnxSession(path, inputs=["pixels"], dimension=2)


def test_what_is_not_a_graph_is_refused(tmp_path: Path, path: Path) -> None:
    (tmp_path / "image.onnx").write_bytes(path.read_bytes()[:50])
    for foreign in (tmp_path / "image.onnx", tmp_path / "nowhere.onnx"):
        with pytest.raises(
            ArtifactCorrupt, match=rf"{foreign.name} is not a graph that ONNX Runtime can load"
        ) as caught:
            OnnxSession(foreign, inputs=["rows", "scale"], dimension=2)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.detail == str(foreign)
