"""From a file of descriptions and a split to their sentence embeddings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.descriptions import DescriptionFile
from model.errors import DataError
from model.nn.backbones import TextBackbone
from training.data.dataset import ImageTextDataset
from training.data.features import text_feature_table
from training.data.semantics import MISSING, SemanticTable

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


def semantic_table(
    dataset: ImageTextDataset, folder: Path, descriptions: DescriptionFile | None, sentence: TextBackbone, cache: Path
) -> SemanticTable:
    """The sentence embeddings of a split, normalised; what the cache lacks is computed.

    `folder` is what the paths in the file start from. Of an image that only its captions are described for, the
    description is the mean of those. Raises DataError where the file describes none of the images.
    """
    captions = embed_sentences(dataset.captions, sentence, cache)
    if descriptions is None:
        nothing = np.full(len(dataset), MISSING), np.full(len(dataset.captions), MISSING)
        return SemanticTable(captions[:0], *nothing, captions)
    of_images = descriptions_of_images(dataset, folder, descriptions)
    for_captions = [descriptions.of_caption.get(caption_id) for caption_id in dataset.caption_ids.tolist()]
    vectors = embed_sentences([text for text in (*of_images, *for_captions) if text is not None], sentence, cache)
    own, of_caption = np.split(_numbered([*of_images, *for_captions]), [len(dataset)])
    vectors, of_image = _with_means(vectors, own, of_caption, dataset.image_of_caption)
    if (of_image == MISSING).all():
        raise refuse_undescribed(dataset, folder, descriptions)
    of_caption = np.where(of_caption == MISSING, of_image[dataset.image_of_caption], of_caption)
    return SemanticTable(vectors, of_image, of_caption, captions)


def embed_sentences(texts: Sequence[str], sentence: TextBackbone, cache: Path) -> Floats:
    """Sentence embeddings [n, S] of texts, L2-normalised."""
    if not texts:
        return np.empty((0, sentence.global_dimension), np.float32)
    features = text_feature_table(sentence, sentence.read_tokenizer(), texts, cache).global_features
    return _normalised(features)


def descriptions_of_images(dataset: ImageTextDataset, folder: Path, file: DescriptionFile) -> list[str | None]:
    """The description of each image as a whole, [N], None for those without; paths in the file start from `folder`."""
    return [file.of_image.get(name) for name in names_below(folder, dataset.image_paths)]


def refuse_undescribed(dataset: ImageTextDataset, folder: Path, file: DescriptionFile) -> DataError:
    """What to raise where a file describes none of the images."""
    return DataError(
        f"{file.path} describes no image of {dataset.name}: describe the images in {folder} with `aahr describe`"
    )


def names_below(folder: Path, paths: Sequence[Path]) -> list[str]:
    """The paths of images as a file of descriptions has them; of images that lie nowhere below, the whole path."""
    return [(path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix() for path in paths]


def _numbered(texts: Sequence[str | None]) -> Rows:
    """The number of each text among those that are there, [n], or MISSING."""
    there = np.array([text is not None for text in texts], np.bool_)
    return np.where(there, np.cumsum(there) - 1, MISSING)


def _with_means(vectors: Floats, own: Rows, of_caption: Rows, image_of_caption: Rows) -> tuple[Floats, Rows]:
    """The vectors with means for images that have a description for captions alone, and the row of each image."""
    described = np.flatnonzero((of_caption != MISSING) & (own[image_of_caption] == MISSING))
    images = np.unique(image_of_caption[described])
    sums = np.zeros((len(own), vectors.shape[1]), np.float32)
    np.add.at(sums, image_of_caption[described], vectors[of_caption[described]])
    of_image = own.copy()
    of_image[images] = len(vectors) + np.arange(len(images))
    return np.concatenate([vectors, _normalised(sums[images])]), of_image


def _normalised(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit.astype(np.float32)
