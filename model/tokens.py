"""What the text side of a model takes: the tokens of its words, of the global feature and of the sentence as a whole.

The encoders have tokenizers, vocabularies and lengths of their own (docs/decisions/0012 and 0015); only that of the
words is always there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact import ModelArtifact
from model.errors import InvalidInput
from model.preprocess import TextTokenizer, Tokens, Word

TOKEN_INPUTS = ("input_ids", "attention_mask")
GLOBAL_TOKEN_INPUTS = ("global_input_ids", "global_attention_mask")
SENTENCE_TOKEN_INPUTS = ("sentence_input_ids", "sentence_attention_mask")
_INPUTS = (TOKEN_INPUTS, GLOBAL_TOKEN_INPUTS, SENTENCE_TOKEN_INPUTS)

Feeds = dict[str, NDArray[Any]]


class SentenceTokenizer:
    """Texts to the tokens of all encoders of a model; thread-safe."""

    def __init__(
        self, words: TextTokenizer, global_feature: TextTokenizer | None = None, sentence: TextTokenizer | None = None
    ) -> None:
        self._words = words
        self._global_feature = global_feature
        self._sentence = sentence

    @classmethod
    def of(cls, artifact: ModelArtifact) -> "SentenceTokenizer":
        """The tokenizers of a model; raises ArtifactCorrupt for a file that holds none."""
        how, semantics = artifact.preprocessing, artifact.semantics
        whole = how.text_global
        return cls(
            TextTokenizer(artifact.tokenizer_file, how.text.max_length),
            None if whole is None else TextTokenizer(artifact.global_tokenizer_file, whole.max_length),
            None if semantics is None else TextTokenizer(artifact.sentence_tokenizer_file, semantics.max_length),
        )

    @property
    def max_length(self) -> int:
        """Of the words, in tokens; the other encoders may see less or more of a text."""
        return self._words.max_length

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokens of the cleaned texts; raises EmptyText and TextTooLong. `truncated` tells of the words."""
        tokens = self._words(texts)
        if self._global_feature is not None:
            tokens = tokens._replace(global_tokens=self._global_feature(texts))
        if self._sentence is not None:
            tokens = tokens._replace(sentence_tokens=self._sentence(texts))
        return tokens

    def words(self, text: str) -> list[Word]:
        """The words of a text with their tokens; see `TextTokenizer.words`."""
        return self._words.words(text)


def text_inputs(artifact: ModelArtifact) -> tuple[str, ...]:
    """The names of the tokens that a model's text graph takes."""
    two = artifact.preprocessing.text_global is not None
    return (*TOKEN_INPUTS, *GLOBAL_TOKEN_INPUTS) if two else TOKEN_INPUTS


def token_feeds(tokens: Tokens) -> Feeds:
    """Tokens by the names of the inputs, those of every encoder that there are some for."""
    feeds: Feeds = {}
    for names, own in zip(_INPUTS, (tokens, tokens.global_tokens, tokens.sentence_tokens), strict=True):
        if own is not None:
            feeds |= dict(zip(names, (own.input_ids, own.attention_mask), strict=True))
    return feeds


def check_tokens(feeds: Feeds) -> None:
    """Raise InvalidInput where ids and mask, or the tokens of two encoders, differ in rows, or a text is empty."""
    rows = len(feeds[TOKEN_INPUTS[0]])
    for ids, mask in _pairs(feeds):
        if feeds[ids].shape != feeds[mask].shape or len(feeds[ids]) != rows:
            raise InvalidInput(
                f"{ids} is {list(feeds[ids].shape)}, {mask} {list(feeds[mask].shape)}, the texts are {rows}"
            )
        check_mask(mask, feeds[mask])


def check_mask(name: str, mask: NDArray[Any]) -> None:
    """Raise InvalidInput for rows of a mask [M, T] in which nothing counts."""
    empty = np.flatnonzero(lengths_of(mask) == 0).tolist()
    if empty:
        raise InvalidInput(f"{name} leaves nothing in the rows {empty}")


def longest_first(feeds: Feeds) -> NDArray[np.int64]:
    """The rows in order of falling length of the words: neighbours in it share a call with hardly any padding [M]."""
    return np.argsort(-lengths_of(feeds[TOKEN_INPUTS[1]]), kind="stable")


def rows_of(feeds: Feeds, rows: NDArray[np.int64]) -> Feeds:
    """Some rows, the tokens of each encoder cut to their own longest."""
    chosen: Feeds = {}
    for ids, mask in _pairs(feeds):
        longest = lengths_of(feeds[mask][rows]).max(initial=0)
        chosen |= {name: feeds[name][rows, :longest] for name in (ids, mask)}
    return chosen


def lengths_of(mask: NDArray[Any]) -> NDArray[np.int64]:
    """Columns of a mask [M, T] up to the last one that counts [M]."""
    last: NDArray[np.int64] = np.where(mask > 0, np.arange(1, mask.shape[1] + 1), 0).max(axis=1, initial=0)
    return last


def _pairs(feeds: Feeds) -> list[tuple[str, str]]:
    return [(ids, mask) for ids, mask in _INPUTS if ids in feeds]
