"""A torch module as an ONNX file: where the weights lie."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from training import onnx_export
from training.onnx_export import export_graph


@pytest.mark.parametrize(("most", "files"), [(10_000, ["graph.onnx"]), (0, ["graph.onnx", "graph.onnx.data"])])
def test_weights_that_fit_into_no_message_lie_beside_the_graph(
    most: int, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "MAX_BYTES_INSIDE", most)
    layer = nn.Linear(32, 16)
    rows = torch.rand(3, 32)
    export_graph(layer, {"input": rows}, ["found"], {"input": (0,)}, tmp_path / "graph.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    (found,) = ort.InferenceSession(tmp_path / "graph.onnx").run(["found"], {"input": rows.numpy()})
    np.testing.assert_allclose(found, layer(rows).detach().numpy(), atol=1e-5)
