"""Captions as the network takes them: cached states of a frozen text backbone, tokens for one that is fine-tuned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn.utils.rnn import pad_sequence

from model.nn.aahr import TokenBatch
from model.preprocess import Tokens
from training.data.batches import TextSource
from training.data.features import text_feature_table
from training.data.table import FeatureTable, concatenate_tables
from training.network import Backbones

Floats = NDArray[np.float32]


class TokenTable:
    """Token ids of captions, for a text backbone that is fine-tuned.

    Attributes:
        texts: the ids of each, without padding.
        global_features: [n, Dg] of an encoder of their own, where the recipe has one.
    """

    def __init__(self, texts: Sequence[NDArray[np.int64]], global_features: Floats | None = None) -> None:
        self.texts = texts
        self.global_features = global_features

    @classmethod
    def of(cls, tokens: Tokens, global_features: Floats | None = None) -> "TokenTable":
        """From the output of a tokenizer for all texts."""
        lengths = tokens.attention_mask.sum(axis=1)
        return cls([ids[:length] for ids, length in zip(tokens.input_ids, lengths, strict=True)], global_features)

    def batch(self, rows: NDArray[np.int64]) -> TokenBatch:
        """Ids and mask [M, T] of the rows, padded to the longest of them, and their global features."""
        texts = [torch.from_numpy(self.texts[row]) for row in rows]
        mask = pad_sequence([torch.ones_like(ids) for ids in texts], batch_first=True)
        given = None if self.global_features is None else torch.from_numpy(self.global_features[rows])
        return TokenBatch(pad_sequence(texts, batch_first=True), mask, given)


def text_source(captions: Sequence[str], backbones: Backbones, cache: Path, *, fine_tuned: bool) -> TextSource:
    """Captions by row; what frozen encoders give of them is computed once into the cache.

    `fine_tuned`: the encoder of the words is part of the network, which then takes token ids.
    """
    sentences = _global_features(captions, backbones, cache)
    tokenizer = backbones.text.read_tokenizer()
    if fine_tuned:
        return TokenTable.of(tokenizer(captions), sentences)
    states = text_feature_table(backbones.text, tokenizer, captions, cache)
    return states if sentences is None else states.with_global_features(sentences)


def _global_features(captions: Sequence[str], backbones: Backbones, cache: Path) -> Floats | None:
    """Global features [M, Dg] by the encoder that gives nothing else, where the recipe has one."""
    if backbones.text_global is None:
        return None
    tokenizer = backbones.text_global.read_tokenizer()
    return text_feature_table(backbones.text_global, tokenizer, captions, cache).global_features


def join_texts(sources: Sequence[TextSource]) -> TextSource:
    """Sources of one kind: a recipe trains its text backbone for all of its data sets or for none."""
    tables = [source for source in sources if isinstance(source, FeatureTable)]
    if tables:
        return concatenate_tables(tables)
    tokens = [source for source in sources if isinstance(source, TokenTable)]
    given = [source.global_features for source in tokens if source.global_features is not None]
    return TokenTable([text for source in tokens for text in source.texts], np.concatenate(given) if given else None)


def mask_token_of(backbones: Backbones) -> int | None:
    """The id of [MASK], which masks words for a fine-tuned text backbone; None where it has no such token."""
    token: int | None = Tokenizer.from_file(str(backbones.text.tokenizer_file)).token_to_id("[MASK]")
    return token
