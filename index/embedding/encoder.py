"""Both encoders of a model, run in chunks whose rows depend on what is given alone: not on workers, not on timing.

An embedding may differ in its last bits with the rows that share its chunk, so that a run which was interrupted could
not be gone on with otherwise.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL.Image import Image

from index.items import Embeddings
from model.artifact import ModelArtifact
from model.errors import InvalidInput, UnsupportedQuery
from model.onnx_session import OUTPUTS, OnnxSession
from model.preprocess import ImagePreprocessing, prepare_image
from model.runtime import GPU_CHUNK, IMAGE_CHUNK, REGION_INPUTS, TEXT_CHUNK, image_inputs
from model.semantics import SEMANTICS_INPUT, SentenceEncoder, TextGraphs
from model.tokens import Feeds, SentenceTokenizer, longest_first, rows_of, token_feeds
from model.views import averaged, views_of

Pixels = NDArray[np.float32]  # [3, H, W]


class Encoder:
    """The graphs of one model, each call on the thread of its caller; several threads may call at once."""

    def __init__(self, artifact: ModelArtifact, views: int = 1) -> None:
        """Load the graphs; raises ArtifactCorrupt for one that ONNX Runtime cannot load.

        Of each image so many views are embedded and averaged.
        """
        self.views = views
        dimension = artifact.manifest.dimension
        self.artifact = artifact
        self.takes_pixels = artifact.manifest.image_input == "pixels"
        self._tokenizer = SentenceTokenizer.of(artifact)
        self._sentences = SentenceEncoder.of(artifact)
        self._images = OnnxSession(artifact.image_graph, inputs=image_inputs(artifact), dimension=dimension)
        self._texts = TextGraphs(artifact, self._sentences)
        self.image_chunk, self.text_chunk = (GPU_CHUNK, GPU_CHUNK) if self._images.on_gpu else (IMAGE_CHUNK, TEXT_CHUNK)

    @property
    def dimension(self) -> int:
        return self.artifact.manifest.dimension

    @property
    def fuses_semantics(self) -> bool:
        """Whether images are embedded with their descriptions."""
        return self._sentences is not None

    @property
    def runtime_version(self) -> str:
        """Of ONNX Runtime."""
        return str(ort.__version__)

    @property
    def image_size(self) -> int:
        """Side of the square that images are resized to; raises UnsupportedQuery for a model of regions."""
        return self._preprocessing().size

    def prepare(self, image: Image) -> Pixels:
        """A decoded image as pixels [3, H, W]."""
        return prepare_image(image, self._preprocessing())

    def images(self, pixels: Sequence[Pixels], descriptions: Sequence[str | None]) -> Embeddings:
        """At most `image_chunk` images with their descriptions to embeddings [n, D].

        Descriptions are embedded in chunks of their images', and left aside by a model that fuses no semantics. Raises
        InvalidInput and ArtifactError.
        """
        feeds = self._fused({}, descriptions)
        views = views_of(np.stack(pixels), self.views)
        return averaged([self._images.run({"pixels": view, **feeds}, OUTPUTS[:1])[0] for view in views])

    def regions(
        self, regions: NDArray[np.float32], global_features: NDArray[np.float32], descriptions: Sequence[str | None]
    ) -> Embeddings:
        """Regions [n, R, Dx] with global features [n, Dg] and descriptions to embeddings [n, D]; as `images`."""
        arrays = (regions, np.ones(regions.shape[:2], np.bool_), global_features)
        feeds = self._fused(dict(zip(REGION_INPUTS, arrays, strict=True)), descriptions)
        self._images.check(feeds)
        for name in (REGION_INPUTS[0], REGION_INPUTS[2]):
            if not np.isfinite(feeds[name]).all():
                raise InvalidInput(f"{name} has values that are not finite")
        return self._images.run(feeds, OUTPUTS[:1])[0]

    def texts(self, texts: Sequence[str]) -> Embeddings:
        """Texts to embeddings [n, D], those of similar length together; raises EmptyText and TextTooLong."""
        feeds = token_feeds(self._tokenizer(texts))
        order = longest_first(feeds)
        embeddings = np.empty((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), self.text_chunk):
            rows = order[start : start + self.text_chunk]
            embeddings[rows] = self._texts.run(rows_of(feeds, rows), OUTPUTS[:1])[0]
        return embeddings

    def _fused(self, feeds: Feeds, descriptions: Sequence[str | None]) -> Feeds:
        return feeds if self._sentences is None else {**feeds, SEMANTICS_INPUT: self._sentences.describe(descriptions)}

    def _preprocessing(self) -> ImagePreprocessing:
        if self.artifact.preprocessing.image is None:
            raise UnsupportedQuery(
                f"the model {self.artifact.manifest.name} takes precomputed regions; images cannot be indexed with it: "
                "give --regions"
            )
        return self.artifact.preprocessing.image
