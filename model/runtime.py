"""Encode images and texts with an exported model: ONNX Runtime, no torch."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.artifact import FIRST_FORMAT, ModelArtifact, load_model_artifact
from model.cores import usable_cores
from model.errors import InvalidInput, UnsupportedQuery
from model.onnx_session import OUTPUTS, OnnxSession
from model.preprocess import ImagePreprocessing, Preprocessing, Tokens, prepare_images
from model.semantics import SEMANTICS_INPUT, SentenceEncoder, TextGraphs
from model.tokens import (
    Feeds,
    SentenceTokenizer,
    check_mask,
    check_tokens,
    longest_first,
    rows_of,
    token_feeds,
)

# Rows of one call of a graph, as measured with the mini model: activations stay in the cache and memory has a bound.
IMAGE_CHUNK = 2
TEXT_CHUNK = 16
GPU_CHUNK = 128

PIXEL_INPUTS = ("pixels",)
REGION_INPUTS = ("regions", "region_mask", "global_features")

Item = TypeVar("Item")
Result = TypeVar("Result")
Floats = NDArray[np.float32]


def image_inputs(artifact: ModelArtifact) -> tuple[str, ...]:
    """The names of the inputs of a model's image graph."""
    own = PIXEL_INPUTS if artifact.manifest.image_input == "pixels" else REGION_INPUTS
    return own if artifact.semantics is None else (*own, SEMANTICS_INPUT)


class LocalEncoding(NamedTuple):
    """An encoding with what it was pooled from."""

    embedding: Floats  # [N, D], L2-normalised
    local_features: Floats  # [N, R or T, D], V of the paper, before the fragment relation
    local_embedding: Floats  # [N, D], l of the paper, before fusion


class Runtime:
    """Both encoders of a model.

    On a CPU each graph runs on one thread, and a pool of `workers` runs chunks side by side: graphs this small lose
    more to the hand-over between threads inside an operator than they gain. All calls share the pool, so that many
    callers make no thread storm; with one worker there is no pool, and each call runs on its caller's thread. Safe to
    use from several threads.
    """

    def __init__(self, artifact: ModelArtifact, *, workers: int | None = None) -> None:
        manifest = artifact.manifest
        self.artifact = artifact
        self.tokenizer = SentenceTokenizer.of(artifact)
        self.sentences = SentenceEncoder.of(artifact)
        self._image_graph = OnnxSession(
            artifact.image_graph, inputs=image_inputs(artifact), dimension=manifest.dimension
        )
        self._text_graph = TextGraphs(artifact, self.sentences)
        self._workers = workers or (1 if self.on_gpu else usable_cores())
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="encode") if self._workers > 1 else None

    @classmethod
    def load(cls, artifact: ModelArtifact | Path, *, workers: int | None = None) -> Self:
        """The encoders of a checked artifact, or of a directory that is checked now.

        Raises ArtifactMissing and ArtifactCorrupt. `workers`: calls that run side by side, default one a usable core.
        """
        if not isinstance(artifact, ModelArtifact):
            artifact = load_model_artifact(artifact)
        return cls(artifact, workers=workers)

    @property
    def model_id(self) -> str:
        return self.artifact.manifest.model_id

    @property
    def name(self) -> str:
        return self.artifact.manifest.name

    @property
    def dimension(self) -> int:
        return self.artifact.manifest.dimension

    @property
    def preprocessing(self) -> Preprocessing:
        return self.artifact.preprocessing

    @property
    def accepts_pixels(self) -> bool:
        """Whether images can be encoded; otherwise the image encoder takes precomputed regions."""
        return self.artifact.manifest.image_input == "pixels"

    @property
    def fuses_semantics(self) -> bool:
        """Whether images are encoded with their descriptions."""
        return self.sentences is not None

    @property
    def on_gpu(self) -> bool:
        return self._image_graph.on_gpu and self._text_graph.on_gpu

    def encode_images(self, images: Sequence[Image.Image], descriptions: Sequence[str | None] | None = None) -> Floats:
        """RGB images to embeddings [N, D]; a chunk is prepared and encoded at a time, so memory has a bound.

        `descriptions` of each, for a model that fuses semantics; without them all are taken for missing.
        """
        preprocessing = self.image_preprocessing
        semantics = None if descriptions is None else self.encode_descriptions(descriptions)

        def encode(rows: slice) -> Floats:
            given = None if semantics is None else semantics[rows]
            feeds = {"pixels": prepare_images(images[rows], preprocessing)}
            return self._image_graph.run(self._with_semantics(feeds, given), OUTPUTS[:1])[0]

        return self._stack(self._map(encode, self._slices(len(images), IMAGE_CHUNK)))

    def encode_descriptions(self, descriptions: Sequence[str | None]) -> Floats:
        """Descriptions to semantics [N, D], None to what stands in for a missing one.

        Raises UnsupportedQuery for a model that fuses no semantics.
        """
        if self.sentences is None:
            raise UnsupportedQuery(f"the model {self.name} fuses no semantics: leave the descriptions out")
        return self.sentences.describe(descriptions)

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Texts to embeddings [M, D]; raises EmptyText and TextTooLong."""
        return self.encode_tokens(self.tokenizer(texts))

    def encode_pixels(self, pixels: Floats, semantics: Floats | None = None) -> Floats:
        """Prepared pixels [N, 3, H, W], with the semantics [N, D] of their descriptions, to embeddings [N, D]."""
        return self._run(self._image_graph, self._pixel_feeds(pixels, semantics), IMAGE_CHUNK)[0]

    def encode_regions(
        self,
        regions: Floats,
        region_mask: NDArray[np.bool_],
        global_features: Floats,
        semantics: Floats | None = None,
    ) -> Floats:
        """Regions [N, R, Dx], their mask [N, R], global features [N, Dg] and semantics [N, D] to embeddings [N, D]."""
        if self.accepts_pixels:
            raise UnsupportedQuery(f"the model {self.name} takes images, not precomputed regions")
        feeds: Feeds = dict(zip(REGION_INPUTS, (regions, region_mask, global_features), strict=True))
        feeds = self._with_semantics(feeds, semantics)
        self._image_graph.check(feeds)
        _check_rows(feeds)
        _check_finite(feeds)
        check_mask("region_mask", region_mask)
        return self._run(self._image_graph, feeds, IMAGE_CHUNK)[0]

    def encode_tokens(self, tokens: Tokens) -> Floats:
        """Tokens [M, T] to embeddings [M, D]; texts of similar length share a call: little padding is computed."""
        feeds = self._token_feeds(tokens)
        order = longest_first(feeds)

        def encode(chunk: slice) -> Floats:
            return self._text_graph.run(rows_of(feeds, order[chunk]), OUTPUTS[:1])[0]

        embeddings = np.empty((len(order), self.dimension), np.float32)
        embeddings[order] = self._stack(self._map(encode, self._slices(len(order), TEXT_CHUNK)))
        return embeddings

    def pixels_local(self, pixels: Floats) -> LocalEncoding:
        """Prepared pixels [N, 3, H, W] with their local features [N, R, D].

        Raises UnsupportedQuery for a model of the first format, as `tokens_local` does.
        """
        self.refuse_first_format()
        return LocalEncoding(*self._run(self._image_graph, self._pixel_feeds(pixels), IMAGE_CHUNK, OUTPUTS))

    def tokens_local(self, tokens: Tokens) -> LocalEncoding:
        """Tokens [M, T] with their local features [M, T, D]."""
        self.refuse_first_format()
        return LocalEncoding(*self._run(self._text_graph, self._token_feeds(tokens), TEXT_CHUNK, OUTPUTS))

    def warm_up(self) -> None:
        """Run both encoders once, so that the first query is no slower than the next and a broken graph shows now."""
        self.encode_texts(["an image"])
        if self.accepts_pixels:
            size = self.image_preprocessing.size
            self.encode_pixels(np.zeros((1, 3, size, size), np.float32))

    def close(self) -> None:
        """Let the calls in flight end and stop the pool."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(
        self, graph: OnnxSession | TextGraphs, feeds: Feeds, chunk: int, outputs: Sequence[str] = OUTPUTS[:1]
    ) -> list[Floats]:
        """Each output over all rows."""
        slices = self._slices(len(next(iter(feeds.values()))), chunk)
        if not slices:  # Not every graph can run on zero rows.
            empty = {"embedding": (0, self.dimension), "local_embedding": (0, self.dimension)}
            return [np.empty(empty.get(name, (0, 0, self.dimension)), np.float32) for name in outputs]

        def run(rows: slice) -> list[Floats]:
            return graph.run({name: array[rows] for name, array in feeds.items()}, outputs)

        return [np.concatenate(parts) for parts in zip(*self._map(run, slices), strict=True)]

    def _map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        return list(map(function, items) if self._pool is None else self._pool.map(function, items))

    def _slices(self, rows: int, chunk: int) -> list[slice]:
        """Chunks of at most `chunk` rows, and at least one for each worker where there are rows enough."""
        size = GPU_CHUNK if self.on_gpu else max(1, min(chunk, -(-rows // self._workers)))
        return [slice(start, start + size) for start in range(0, rows, size)]

    def _stack(self, chunks: Sequence[Floats]) -> Floats:
        return np.concatenate([np.empty((0, self.dimension), np.float32), *chunks])

    @property
    def image_preprocessing(self) -> ImagePreprocessing:
        """How images become pixels; raises UnsupportedQuery for a model of regions."""
        if self.preprocessing.image is None:
            raise UnsupportedQuery(
                f"the model {self.name} takes precomputed regions, not images: it serves text queries "
                "and galleries of precomputed regions"
            )
        return self.preprocessing.image

    def refuse_first_format(self) -> None:
        """Raise UnsupportedQuery for a model whose local features cannot be compared."""
        if self.artifact.manifest.format == FIRST_FORMAT:
            raise UnsupportedQuery(
                f"the model {self.name} is of format {FIRST_FORMAT}, whose local features are V', after the fragment "
                "relation: those of images and texts cannot be compared; export its checkpoint again with `aahr export`"
            )

    def _with_semantics(self, feeds: Feeds, semantics: Floats | None) -> Feeds:
        """With the semantics of the images, where the model fuses some: those given, or the missing one for all."""
        if self.sentences is None:
            if semantics is not None:
                raise UnsupportedQuery(f"the model {self.name} fuses no semantics: leave the descriptions out")
            return feeds
        rows = len(next(iter(feeds.values())))
        given = np.tile(self.sentences.missing, (rows, 1)) if semantics is None else semantics
        if len(given) != rows:
            raise InvalidInput(f"there are {len(given)} descriptions for {rows} images: give one for each, or None")
        return {**feeds, SEMANTICS_INPUT: given}

    def _pixel_feeds(self, pixels: Floats, semantics: Floats | None = None) -> Feeds:
        size = self.image_preprocessing.size
        feeds: Feeds = self._with_semantics({"pixels": pixels}, semantics)
        self._image_graph.check(feeds)
        if pixels.shape[2:] != (size, size):
            raise InvalidInput(f"pixels is {list(pixels.shape)}, the model {self.name} takes [N, 3, {size}, {size}]")
        _check_finite(feeds)
        return feeds

    def _token_feeds(self, tokens: Tokens) -> Feeds:
        feeds = token_feeds(tokens)
        if set(feeds) != set(self._text_graph.inputs):
            raise InvalidInput(
                f"the tokens are {sorted(feeds)}, the model {self.name} takes {sorted(self._text_graph.inputs)}: make "
                "them with its own tokenizer"
            )
        self._text_graph.check(feeds)
        check_tokens(feeds)
        return feeds


def _check_rows(feeds: Feeds) -> None:
    shapes = {name: list(array.shape) for name, array in feeds.items()}
    regions, mask, features = (shapes[name] for name in REGION_INPUTS)
    if regions[:2] != mask or regions[0] != features[0]:
        raise InvalidInput(f"regions is {regions}, region_mask {mask}, global_features {features}: rows differ")


def _check_finite(feeds: Feeds) -> None:
    for name, array in feeds.items():
        if not np.isfinite(array).all():
            raise InvalidInput(f"{name} has values that are not finite")
