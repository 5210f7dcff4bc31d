"""One ONNX graph of a model artifact, run so that a fault in it names the graph and harms nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.errors import ArtifactCorrupt, ArtifactError, InvalidInput

OUTPUTS = ("embedding", "local_features", "local_embedding")

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_ERRORS, _FATAL = 3, 4  # levels of ONNX Runtime's log
_ONNX_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)", "bool": "tensor(bool)"}


class OnnxSession:
    """An ONNX Runtime session on one thread; calls from several threads at once are safe."""

    def __init__(self, path: Path, *, inputs: Sequence[str], dimension: int, outputs: Sequence[str] = OUTPUTS) -> None:
        """`dimension`: of the last axis of every output; `outputs`: the names of all of them."""
        self.path = path
        self._dimension = dimension
        try:
            self._session = ort.InferenceSession(path, _session_options(), providers=_providers())
        except Exception as error:  # ONNX Runtime's exceptions share no base class.
            raise ArtifactCorrupt(
                f"{path.name} is not a graph that ONNX Runtime can load: {self._reason(error)}; export the model again",
                detail=str(path),
            ) from error
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = _FATAL  # a failed call is raised, and need not be printed as well
        self._check_names("inputs", [node.name for node in self._session.get_inputs()], inputs)
        self._check_names("outputs", [node.name for node in self._session.get_outputs()], outputs)
        self._shapes: dict[str, list[int | str | None]] = {n.name: n.shape for n in self._session.get_inputs()}
        self._types = {node.name: node.type for node in self._session.get_inputs()}

    @property
    def on_gpu(self) -> bool:
        return _CUDA in self._session.get_providers()

    def check(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Raise InvalidInput unless every array has the type and rank, and the fixed sizes, of the graph's input."""
        for name, array in feeds.items():
            shape, kind = self._shapes[name], self._types[name]
            fits = len(shape) == array.ndim and all(
                not isinstance(wanted, int) or wanted == found for wanted, found in zip(shape, array.shape, strict=True)
            )
            if not fits or _ONNX_TYPES.get(array.dtype.name) != kind:
                expected = f"{kind} [{', '.join(str(side) for side in shape)}]"
                raise InvalidInput(f"{name} is {array.dtype} {list(array.shape)}, {self.path.name} takes {expected}")

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """The named outputs; raises InvalidInput where they are not finite, ArtifactError where the graph fails."""
        try:
            arrays = cast(list[NDArray[np.float32]], self._session.run(outputs, dict(feeds), self._run_options))
        except Exception as error:  # As above; the session stays usable after a failed call.
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
            raise ArtifactError(
                f"{self.path.name} failed on {shapes}: {self._reason(error)}; export it again", detail=str(self.path)
            ) from error
        for name, array in zip(outputs, arrays, strict=True):
            self._check_output(name, array)
        return arrays

    def _check_output(self, name: str, array: NDArray[np.float32]) -> None:
        if array.shape[-1] != self._dimension:
            raise ArtifactCorrupt(
                f"{self.path.name} returns {name} of dimension {array.shape[-1]}, its manifest says {self._dimension}",
                detail=str(self.path),
            )
        finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if not finite.all():
            rows = np.flatnonzero(~finite).tolist()
            raise InvalidInput(f"{self.path.name} returns {name} that is not finite for the rows {rows} of a batch")

    def _check_names(self, kind: str, found: Sequence[str], expected: Sequence[str]) -> None:
        if set(found) != set(expected):
            raise ArtifactCorrupt(
                f"{self.path.name} has the {kind} {sorted(found)}, expected {sorted(expected)}; export the model again",
                detail=str(self.path),
            )

    def _reason(self, error: Exception) -> str:
        """The first line of what ONNX Runtime says, without the path of the machine."""
        return str(error).strip().partition("\n")[0].replace(str(self.path), self.path.name)


def _providers() -> list[str | tuple[str, dict[str, str]]]:
    if _CUDA not in ort.get_available_providers():
        return [_CPU]
    # Every new batch size is a new shape: the exhaustive search for a convolution would run again for each.
    options = {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"}
    return [(_CUDA, options), _CPU]


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A pattern is kept for each shape that was ever seen; texts have hundreds, and it gains no time here.
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS
    return options
