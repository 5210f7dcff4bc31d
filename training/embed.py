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
from training.data.features import image_feature_table
from training.data.sources import SplitFeatures, reduced_table
from training.data.table import FeatureTable
from training.data.texts import text_source
from training.device import device_of, move
from training.network import Backbones

ITEMS_AT_ONCE = 256
IMAGES_AT_ONCE = 64
"""Prepared, as the pixels of an exported model: 38 MB at 224 x 224."""

Floats = NDArray[np.float32]


class SplitEmbeddings(NamedTuple):
    """L2-normalised embeddings of one split."""

    images: Floats  # [N, D]
    texts: Floats  # [M, D]


def embed_split(network: AAHR, split: SplitFeatures) -> SplitEmbeddings:
    """Embeddings of a split from its (reduced) features, in evaluation mode and without gradient."""
    return SplitEmbeddings(
        embed_images(network, split.views[0], len(split.dataset)),
        embed_texts(network, split.texts, len(split.dataset.captions)),
    )


def embed_images(network: AAHR, images: ImageSource, count: int) -> Floats:
    """Embeddings [N, D] of the first `count` rows of a source."""
    return _in_chunks(network, count, lambda rows: network.encode_images(move(images.batch(rows), device_of(network))))


def embed_texts(network: AAHR, texts: TextSource, count: int) -> Floats:
    """Embeddings [M, D] of the first `count` rows of a source."""
    return _in_chunks(network, count, lambda rows: network.encode_texts(move(texts.batch(rows), device_of(network))))


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
    def clip(self) -> Path | None:
        """The CLIP that its recipe names for the global features of regions, where that is known."""
        ...

    def regions(self, regions: FeatureTable) -> Floats:
        """Regions with global features to [N, D]."""
        ...

    def images(self, paths: Sequence[Path]) -> Floats:
        """Image files to [N, D]."""
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
        self.clip = clip

    def images(self, paths: Sequence[Path]) -> Floats:
        """Image files to [N, D]."""
        return self._embedded(image_feature_table(self.backbones.image, paths, self.cache))

    def regions(self, regions: FeatureTable) -> Floats:
        """Regions with global features to [N, D]."""
        return self._embedded(regions)

    def texts(self, texts: Sequence[str]) -> Floats:
        """Sentences to [M, D]."""
        fine_tuned = self.network.text_backbone is not None
        source = text_source(texts, self.backbones, self.cache, fine_tuned=fine_tuned)
        return embed_texts(self.network, source, len(texts))

    def close(self) -> None:
        """Nothing to end."""

    def _embedded(self, cells: FeatureTable) -> Floats:
        if self.network.cached_reduction is not None:
            cells = reduced_table(cells, self.network.cached_reduction)
        return embed_images(self.network, cells, len(cells))


class ArtifactEmbedder:
    """An exported model through ONNX Runtime, exactly as the index and the service run it."""

    clip = None  # what is exported knows no recipe

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.takes_pixels = runtime.accepts_pixels

    def images(self, paths: Sequence[Path]) -> Floats:
        """Image files to [N, D]. Each thread holds one decoded image at a time; what is kept of it is its pixels.

        Raises UnsupportedQuery for a model that takes regions, and InvalidInput for a file that is not an image.
        """
        preprocessing = self.runtime.preprocessing.image
        if preprocessing is None:
            raise UnsupportedQuery(f"the model {self.runtime.name} takes precomputed regions, not images")

        def pixels(path: Path) -> Floats:
            return prepare_image(decode_image(path, at_least=preprocessing.size), preprocessing)

        chunks = [paths[start : start + IMAGES_AT_ONCE] for start in range(0, len(paths), IMAGES_AT_ONCE)]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            parts = [self.runtime.encode_pixels(np.stack(list(pool.map(pixels, chunk)))) for chunk in chunks]
        return np.concatenate(parts)

    def regions(self, regions: FeatureTable) -> Floats:
        """Regions with global features to [N, D]."""
        parts = []
        for start in range(0, len(regions), ITEMS_AT_ONCE):
            item = regions.batch(np.arange(start, min(start + ITEMS_AT_ONCE, len(regions))))
            parts.append(self.runtime.encode_regions(*(tensor.numpy() for tensor in item)))
        return np.concatenate(parts)

    def texts(self, texts: Sequence[str]) -> Floats:
        """Sentences to [M, D]."""
        return self.runtime.encode_texts(texts)

    def close(self) -> None:
        """End the threads of the runtime."""
        self.runtime.close()
