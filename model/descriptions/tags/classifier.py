"""The tagging graph: prepared pixels to the probabilities of the classes, by ONNX Runtime."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import InvalidInput
from model.onnx_session import OnnxSession

INPUT, OUTPUT = "pixels", "logits"

Floats = NDArray[np.float32]


class TagClassifier:
    """Runs tags.onnx; safe to use from several threads."""

    def __init__(self, graph: Path, *, classes: int, temperature: float) -> None:
        """Raises ArtifactCorrupt for what is not a graph, or one with other inputs and outputs.

        `classes`: how many logits it gives; `temperature`: what they are divided by, above 1 for less certain tags.
        """
        self._graph = OnnxSession(graph, inputs=(INPUT,), outputs=(OUTPUT,), dimension=classes)
        self._classes = classes
        self._temperature = temperature

    def probabilities(self, pixels: Floats) -> Floats:
        """Pixels [N, 3, 224, 224] to probabilities [N, C]; raises InvalidInput for another shape, type or NaN.

        One image a call of the graph: the last bits of a logit depend on the size of the batch, and words must not.
        """
        self._graph.check({INPUT: pixels})
        if not np.isfinite(pixels).all():
            raise InvalidInput(f"{INPUT} has values that are not finite; prepare the image again")
        rows = [self._graph.run({INPUT: pixels[row : row + 1]}, (OUTPUT,))[0] for row in range(len(pixels))]
        return softmax(np.concatenate([np.empty((0, self._classes), np.float32), *rows]), self._temperature)


def softmax(logits: Floats, temperature: float) -> Floats:
    """Logits [N, C] to probabilities; a temperature above 1 makes them less certain."""
    exponents = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature))
    probabilities: Floats = exponents / exponents.sum(axis=1, keepdims=True)
    return probabilities
