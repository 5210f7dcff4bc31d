"""Embeddings of whole splits, by a network over cached features or by an exported model over files."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import UnsupportedQuery
from model.nn.aahr import AAHR
from model.nn.encoder import Encoding
from model.preprocess import decode_image, prepare_image
from model.runtime import Runtime
from training.data.batches import ImageSource, TextSource
from training.data.described import embed_sentences
from training.data.features import image_feature_table
from training.data.semantics import projected
from training.data.sources import SplitFeatures, reduced_table
from training.data.table import FeatureTable
from training.data.texts import text_source
from training.device import device_of, move
from training.network import Backbones

ITEMS_AT_ONCE = 256
IMAGES_AT_ONCE = 64
"""Prepared, as the pixels of an exported model: 38 MB at 224 x 224."""

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class SplitEmbeddings(NamedTuple):
    """L2-normalised embeddings of one split."""

    images: Floats  # [N, D]
    texts: Floats  # [M, D]


def embed_split(network: AAHR, split: SplitFeatures) -> SplitEmbeddings:
    """Embeddings of a split from its (reduced) features, in evaluation mode and without gradient."""
    semantics = split.semantics
    described, sentences = (None, None) if semantics is None else (semantics.of_images, semantics.captions)
    return SplitEmbeddings(
        embed_images(network, split.views[0], len(split.dataset), described),
        embed_texts(network, split.texts, len(split.dataset.captions), sentences),
    )


def embed_images(network: AAHR, images: ImageSource, count: int, semantics: Floats | None = None) -> Floats:
    """Embeddings [N, D] of the first `count` rows of a source, with the semantics [N, D] of their descriptions."""
    device = device_of(network)

    def encode(rows: Rows) -> Encoding:
        return network.encode_images(move(images.batch(rows), device), _rows_of(semantics, rows, device))

    return _in_chunks(network, count, encode)


def embed_texts(network: AAHR, texts: TextSource, count: int, semantics: Floats | None = None) -> Floats:
    """Embeddings [M, D] of the first `count` rows of a source, with their own semantics [M, D]."""
    device = device_of(network)

    def encode(rows: Rows) -> Encoding:
        return network.encode_texts(move(texts.batch(rows), device), _rows_of(semantics, rows, device))

    return _in_chunks(network, count, encode)


def _rows_of(semantics: Floats | None, rows: Rows, device: torch.device) -> torch.Tensor | None:
    return None if semantics is None else torch.from_numpy(semantics[rows]).to(device)


def _in_chunks(network: AAHR, count: int, encode: Callable[[NDArray[np.int64]], Encoding]) -> Floats:
    training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [
            encode(np.arange(start, min(start + ITEMS_AT_ONCE, count))).embedding.float().cpu().numpy()
            for start in range(0, count, ITEMS_AT_ONCE)
        ]
    network.train(training)
    return np.concatenate(parts)


class Embedder(Protocol):
    """Files and sentences to embeddings: what evaluation needs of a model, wherever it runs."""

    @property
    def takes_pixels(self) -> bool:
        """Whether it sees images; otherwise precomputed regions."""
        ...

    @property
    def fuses_semantics(self) -> bool:
        """Whether it takes descriptions of images."""
        ...

    @property
    def clip(self) -> Path | None:
        """The CLIP that its recipe names for the global features of regions, where that is known."""
        ...

    def regions(self, regions: FeatureTable, descriptions: Sequence[str | None] | None = None) -> Floats:
        """Regions with global features to [N, D]; see `images`."""
        ...

    def images(self, paths: Sequence[Path], descriptions: Sequence[str | None] | None = None) -> Floats:
        """Image files to [N, D], with what describes each of them where the model fuses semantics."""
        ...

    def texts(self, texts: Sequence[str]) -> Floats:
        """Sentences to [M, D]."""
        ...

    def close(self) -> None:
        """End its threads, if it has some."""
        ...


class CheckpointEmbedder:
    """A trained network through torch; features of its frozen backbones come from the cache."""

    def __init__(self, network: AAHR, backbones: Backbones, cache: Path, clip: Path | None = None) -> None:
        self.network, self.backbones, self.cache = network, backbones, cache
        self.takes_pixels = backbones.image.preprocessing is not None
        self.fuses_semantics = network.semantics is not None
        self.clip = clip

    def images(self, paths: Sequence[Path], descriptions: Sequence[str | None] | None = None) -> Floats:
        """Image files to [N, D]."""
        return self._embedded(image_feature_table(self.backbones.image, paths, self.cache), descriptions)

    def regions(self, regions: FeatureTable, descriptions: Sequence[str | None] | None = None) -> Floats:
        """Regions with global features to [N, D]."""
        return self._embedded(regions, descriptions)

    def texts(self, texts: Sequence[str]) -> Floats:
        """Sentences to [M, D]."""
        fine_tuned = self.network.text_backbone is not None
        source = text_source(texts, self.backbones, self.cache, fine_tuned=fine_tuned)
        return embed_texts(self.network, source, len(texts), self._semantics(texts))

    def close(self) -> None:
        """Nothing to end."""

    def _embedded(self, cells: FeatureTable, descriptions: Sequence[str | None] | None) -> Floats:
        if self.network.cached_reduction is not None:
            cells = reduced_table(cells, self.network.cached_reduction)
        return embed_images(self.network, cells, len(cells), self._semantics(descriptions))

    def _semantics(self, texts: Sequence[str | None] | None) -> Floats | None:
        """Semantics [n, D] of texts, of which None is a missing description."""
        fusion, sentence = self.network.semantics, self.backbones.sentence
        if fusion is None or sentence is None or texts is None:
            return None
        given = [row for row, text in enumerate(texts) if text is not None]
        found = np.tile(fusion.missing.cpu().numpy(), (len(texts), 1))
        found[given] = projected(
            fusion, embed_sentences([text for text in texts if text is not None], sentence, self.cache)
        )
        return found


class ArtifactEmbedder:
    """An exported model through ONNX Runtime, exactly as the index and the service run it."""

    clip = None  # what is exported knows no recipe

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.takes_pixels = runtime.accepts_pixels
        self.fuses_semantics = runtime.fuses_semantics

    def images(self, paths: Sequence[Path], descriptions: Sequence[str | None] | None = None) -> Floats:
        """Image files to [N, D]. Each thread holds one decoded image at a time; what is kept of it is its pixels.

        Raises UnsupportedQuery for a model that takes regions, and InvalidInput for a file that is not an image.
        """
        preprocessing = self.runtime.preprocessing.image
        if preprocessing is None:
            raise UnsupportedQuery(f"the model {self.runtime.name} takes precomputed regions, not images")

        def pixels(path: Path) -> Floats:
            return prepare_image(decode_image(path, at_least=preprocessing.size), preprocessing)

        semantics = self._semantics(descriptions)
        parts = []
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for start in range(0, len(paths), IMAGES_AT_ONCE):
                rows = slice(start, start + IMAGES_AT_ONCE)
                prepared = np.stack(list(pool.map(pixels, paths[rows])))
                parts.append(self.runtime.encode_pixels(prepared, None if semantics is None else semantics[rows]))
        return np.concatenate(parts)

    def regions(self, regions: FeatureTable, descriptions: Sequence[str | None] | None = None) -> Floats:
        """Regions with global features to [N, D]."""
        semantics = self._semantics(descriptions)
        parts = []
        for start in range(0, len(regions), ITEMS_AT_ONCE):
            rows = np.arange(start, min(start + ITEMS_AT_ONCE, len(regions)))
            features, mask, whole = (tensor.numpy() for tensor in regions.batch(rows))
            given = None if semantics is None else semantics[rows]
            parts.append(self.runtime.encode_regions(features, mask, whole, given))
        return np.concatenate(parts)

    def texts(self, texts: Sequence[str]) -> Floats:
        """Sentences to [M, D]."""
        return self.runtime.encode_texts(texts)

    def _semantics(self, descriptions: Sequence[str | None] | None) -> Floats | None:
        if descriptions is None or not self.fuses_semantics:
            return None
        return self.runtime.encode_descriptions(descriptions)

    def close(self) -> None:
        """End the threads of the runtime."""
        self.runtime.close()
