"""What captions mean to the untrained text backbone: by this the soft positives of a batch are known."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.preprocess import TextTokenizer
from training.data.dataset import ImageTextDataset
from training.data.features import text_feature_table
from training.network import Backbones


class Meanings(NamedTuple):
    """L2-normalised vectors of the images and captions of a batch, in the order of its pairs."""

    images: Tensor  # [N, G]
    captions: Tensor  # [M, G]


class MeaningTable:
    """The meaning of each caption is its sentence feature, that of an image the mean of those of its captions."""

    def __init__(self, sentence_features: NDArray[np.float32], image_of_caption: NDArray[np.int64]) -> None:
        """From features [C, G] and the row of each caption's image, [C]."""
        self.captions = _normalised(sentence_features)
        sums = np.zeros((int(image_of_caption.max()) + 1, self.captions.shape[1]), np.float32)
        np.add.at(sums, image_of_caption, self.captions)
        self.images = _normalised(sums)

    def batch(self, image_rows: NDArray[np.int64], caption_rows: NDArray[np.int64]) -> Meanings:
        """The meanings of the given rows."""
        return Meanings(torch.from_numpy(self.images[image_rows]), torch.from_numpy(self.captions[caption_rows]))


def caption_meanings(dataset: ImageTextDataset, backbones: Backbones, cache: Path) -> MeaningTable:
    """Meanings of a data set by the text backbone as it is before training.

    Features that the cache lacks are computed. Call it before the backbone is trained.
    """
    tokenizer = TextTokenizer(backbones.text.tokenizer_file, backbones.text.preprocessing.max_length)
    features = text_feature_table(backbones.text, tokenizer, dataset.captions, cache)
    return MeaningTable(features.global_features, dataset.image_of_caption)


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
    return unit
