"""From an image to the words of its neighbours."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.descriptions.file import Source
from model.descriptions.neighbours.consensus import NeighbourSettings, as_sentence, consensus
from model.descriptions.neighbours.gallery import GRAPH, Gallery, hash_of, read_gallery
from model.descriptions.pixels import PixelDescriber
from model.errors import InvalidInput
from model.onnx_session import OnnxSession
from model.preprocess import ImagePreprocessing

NAME = "neighbours"
INPUT, OUTPUT = "pixels", "global_features"

# An image of the gallery finds itself at this cosine or above, in fp16 too; its own captions must not describe it.
SELF_COSINE = 0.9995

Floats = NDArray[np.float32]
Encode = Callable[[Floats], Floats]
"""Pixels [n, 3, S, S] to features [n, D]."""


class NeighboursDescriber(PixelDescriber):
    """Over a gallery; its hash is of gallery and settings."""

    def __init__(
        self,
        gallery: Gallery,
        encode: Encode,
        preprocessing: ImagePreprocessing,
        settings: NeighbourSettings,
        prompt_hash: str,
    ) -> None:
        """`encode` is what the embeddings of the gallery come from."""
        super().__init__(Source(NAME, prompt_hash), preprocessing)
        self.settings = settings
        self._gallery, self._encode = gallery, encode

    def describe_pixels(self, pixels: Floats) -> list[str]:
        """Captions of neighbours for pixels [N, 3, S, S]; raises InvalidInput for an array of another form.

        One image a call of the graph: the last bits of a feature depend on the size of the batch, and words must not.
        """
        return [self._described(self._encode(pixels[row : row + 1])[0]) for row in range(len(pixels))]

    def _described(self, features: Floats) -> str:
        cosines = self._gallery.embeddings @ (features / max(float(np.linalg.norm(features)), 1e-12))
        order = np.argsort(-cosines, kind="stable")
        others = order[cosines[order] < SELF_COSINE][: self.settings.neighbours]
        captions = [(text, float(cosines[row])) for row in others for text in self._gallery.captions[row]]
        chosen = consensus(captions, self._gallery.rarity, self.settings)
        return " ".join(as_sentence(text) for text in chosen)


def load_neighbours(directory: Path) -> NeighboursDescriber:
    """The describer whose NEIGHBOURS_FILES lie in a directory, such as that of a model.

    Raises ArtifactMissing where one is not there, and ArtifactCorrupt where one cannot be read or they do not fit.
    """
    gallery, file = read_gallery(directory)
    graph = OnnxSession(directory / GRAPH, inputs=(INPUT,), outputs=(OUTPUT,), dimension=file.dimension)

    def encode(pixels: Floats) -> Floats:
        feeds = {INPUT: pixels}
        graph.check(feeds)
        if not np.isfinite(pixels).all():
            raise InvalidInput(f"{INPUT} has values that are not finite; prepare the image again")
        return graph.run(feeds, (OUTPUT,))[0]

    return NeighboursDescriber(gallery, encode, file.preprocessing, file.settings, hash_of(directory))
