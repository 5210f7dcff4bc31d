"""Sentence embeddings of a data set's captions and images, from which the soft positives of a batch are computed."""

import numpy as np
import torch
from numpy.typing import NDArray

from training.soft_positives import SentenceEmbeddings


class SentenceEmbeddingTable:
    """L2-normalised; the embedding of an image is the normalised mean of those of its captions."""

    def __init__(self, sentence_features: NDArray[np.float32], image_of_caption: NDArray[np.int64]) -> None:
        """From features [C, G] and the row of each caption's image, [C]."""
        self.captions = _normalised(sentence_features)
        sums = np.zeros((int(image_of_caption.max()) + 1, self.captions.shape[1]), np.float32)
        np.add.at(sums, image_of_caption, self.captions)
        self.images = _normalised(sums)

    def batch(self, image_rows: NDArray[np.int64], caption_rows: NDArray[np.int64]) -> SentenceEmbeddings:
        """The embeddings of the given rows."""
        return SentenceEmbeddings(
            torch.from_numpy(self.images[image_rows]), torch.from_numpy(self.captions[caption_rows])
        )


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
    return unit
