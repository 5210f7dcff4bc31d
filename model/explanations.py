"""Why an image was found: how much each word of a text agrees with each cell of the image.

What met the words in training is V, the projection before the fragment relation: V of both encoders lies in one space
(the relevance of words and regions of the AAHR paper is made of these cosines). The weights of the pooling would not
do, since they do not depend on the other side.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.errors import UnsupportedQuery
from model.preprocess import SeenPart, Word, prepare_image, seen_part
from model.runtime import Runtime

Floats = NDArray[np.float32]

_LEAST_LENGTH = 1e-12


class WordMaps(NamedTuple):
    """The words of a text over the cells of an image, with the embeddings of both."""

    words: list[Word]
    cosines: Floats  # [W, rows, columns], from -1 to 1
    seen: SeenPart
    truncated: bool
    text_embedding: Floats  # [D]
    image_embedding: Floats  # [D], of the image without a description


def word_maps(runtime: Runtime, text: str, image: Image.Image) -> WordMaps:
    """The cosine of every word of a text with every cell of an upright RGB image.

    Raises EmptyText and TextTooLong, and UnsupportedQuery for a model whose local features cannot be compared: one of
    the first format, one of regions, or one whose cells make no square grid.
    """
    preprocessing = runtime.image_preprocessing
    tokens = runtime.tokenizer([text])
    of_text = runtime.tokens_local(tokens)
    of_image = runtime.pixels_local(prepare_image(image, preprocessing)[None])
    words = runtime.tokenizer.words(text)
    cosines = word_cell_cosines(of_text.local_features[0], of_image.local_features[0], [w.tokens for w in words])
    side = _side_of(runtime, cosines.shape[1])
    return WordMaps(
        words,
        cosines.reshape(len(words), side, side),
        seen_part(image.size, preprocessing),
        bool(tokens.truncated[0]),
        of_text.embedding[0],
        of_image.embedding[0],
    )


def word_cell_cosines(tokens: Floats, cells: Floats, words: Sequence[Sequence[int]]) -> Floats:
    """Cosines [W, R] of words with cells, from the local features of the tokens [T, D] and of the cells [R, D].

    `words` are the tokens of each word. A word of several tokens gets the mean of their cosines: the maximum would grow
    with the number of pieces, so that long words seemed to fit better than short ones. Of a feature of length zero all
    cosines are 0.
    """
    cosines = _normalised(tokens) @ _normalised(cells).T  # [T, R]
    merged = np.empty((len(words), len(cells)), np.float32)
    for row, own in enumerate(words):
        merged[row] = cosines[list(own)].mean(axis=0)
    return np.clip(merged, -1.0, 1.0)


def _normalised(features: Floats) -> Floats:
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, _LEAST_LENGTH), np.float32)


def _side_of(runtime: Runtime, cells: int) -> int:
    side = math.isqrt(cells)
    if side * side != cells:
        raise UnsupportedQuery(
            f"the model {runtime.name} has {cells} local features for an image, which make no square grid: it can "
            "search, but not explain; use a model of `aahr train`"
        )
    return side
