"""Running a frozen backbone over arrays, by whatever is fastest where it is."""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from model.nn.backbones import ImageBackbone, TextBackbone
from training.data.shards import Features
from training.device import device_of
from training.onnx_export import export_graph

Extractor = Callable[[Mapping[str, NDArray[Any]]], Features]

# Below this many items an export takes longer than it saves.
WORTH_AN_EXPORT = 512
_OUTPUTS = ("features", "mask", "global_features")


def make_extractor(backbone: ImageBackbone | TextBackbone, items: int, graphs: Path) -> Extractor:
    """A function from named arrays to features, that several threads may call at once.

    Many items on a CPU go through ONNX Runtime, which takes a third to a half of torch's time (measured for
    EfficientNet-Lite0 and MiniLM on 2 cores); the exported graph is kept below `graphs`.
    """
    backbone.eval()
    if device_of(backbone).type != "cpu" or items < WORTH_AN_EXPORT:
        return _through_torch(backbone)
    return _through_onnxruntime(backbone, graphs)


def _through_torch(backbone: ImageBackbone | TextBackbone) -> Extractor:
    device = device_of(backbone)

    def extract(arrays: Mapping[str, NDArray[Any]]) -> Features:
        with torch.inference_mode():
            found = backbone(**{name: torch.from_numpy(array).to(device) for name, array in arrays.items()})
        return _ragged(*(tensor.cpu().numpy() for tensor in found))

    return extract


def _through_onnxruntime(backbone: ImageBackbone | TextBackbone, graphs: Path) -> Extractor:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # several calls at once use the cores better than several threads in one call
    session: Any = ort.InferenceSession(_exported(backbone, graphs), options, providers=["CPUExecutionProvider"])

    def extract(arrays: Mapping[str, NDArray[Any]]) -> Features:
        features, mask, global_features = session.run(list(_OUTPUTS), dict(arrays))
        return _ragged(features, mask, global_features)

    return extract


def _exported(backbone: ImageBackbone | TextBackbone, graphs: Path) -> Path:
    """The backbone as an ONNX file, written at the first call."""
    key = f"{backbone.name}:{backbone.fingerprint}:{torch.__version__}"
    file = graphs / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.onnx"
    if not file.exists():
        graphs.mkdir(parents=True, exist_ok=True)
        staging = graphs / f".{uuid.uuid4().hex}.tmp"
        inputs, axes = _example(backbone)
        try:
            export_graph(backbone, inputs, _OUTPUTS, axes, staging)
            staging.replace(file)
        finally:
            staging.unlink(missing_ok=True)
    return file


def _example(backbone: ImageBackbone | TextBackbone) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, ...]]]:
    """Inputs to trace the backbone with, and which of their axes are dynamic."""
    if isinstance(backbone, ImageBackbone):
        assert backbone.preprocessing is not None  # regions need no extraction
        size = backbone.preprocessing.size
        return {"pixels": torch.zeros(2, 3, size, size)}, {"pixels": (0,)}
    tokens = torch.ones(2, 8, dtype=torch.int64)
    return {"input_ids": tokens, "attention_mask": tokens}, {"input_ids": (0, 1), "attention_mask": (0, 1)}


def _ragged(features: NDArray[np.float32], mask: NDArray[np.bool_], global_features: NDArray[np.float32]) -> Features:
    """Padded [B, R, Dx] with mask [B, R] to values without padding."""
    return Features(features[mask].astype(np.float16), mask.sum(axis=1, dtype=np.int64), global_features)
