"""Texts for one text encoder or two: each has tokens of its own, cut to its own longest."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from model.errors import EmptyText, InvalidInput
from model.preprocess import TextTokenizer, Tokens
from model.tokens import SentenceTokenizer, check_tokens, longest_first, rows_of, token_feeds

TEXTS = ["a", "a red dog a", "red dog"]


def word_tokenizer(file: Path, words: list[str], max_length: int) -> TextTokenizer:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(file))
    return TextTokenizer(file, max_length)


@pytest.fixture
def both(tmp_path: Path) -> SentenceTokenizer:
    words = word_tokenizer(tmp_path / "words.json", ["a", "red", "dog"], max_length=4)
    sentence = word_tokenizer(tmp_path / "sentence.json", ["dog", "red", "a"], max_length=3)
    return SentenceTokenizer(words, sentence)


def test_each_encoder_has_tokens_of_its_own(both: SentenceTokenizer) -> None:
    tokens = both(["a red dog", "dog"])
    assert tokens.input_ids.tolist() == [[1, 2, 3], [3, 0, 0]]
    assert tokens.global_tokens is not None
    assert tokens.global_tokens.input_ids.tolist() == [[3, 2, 1], [1, 0, 0]]


def test_only_an_end_of_the_words_is_told(both: SentenceTokenizer) -> None:
    tokens = both(["a red dog a", "a red dog a red"])
    assert both.max_length == 4
    assert tokens.truncated.tolist() == [False, True]
    assert tokens.global_tokens is not None
    assert tokens.global_tokens.input_ids.shape == (2, 3)


def test_rows_are_cut_to_the_longest_of_each_encoder(both: SentenceTokenizer) -> None:
    tokens = both(TEXTS)
    assert tokens.global_tokens is not None
    padded = (np.pad(array, ((0, 0), (0, 5))) for array in tokens.global_tokens[:2])
    feeds = token_feeds(tokens._replace(global_tokens=Tokens(*padded, tokens.truncated)))
    assert longest_first(feeds).tolist() == [1, 2, 0]
    chosen = rows_of(feeds, np.array([2, 0]))
    assert {name: array.shape for name, array in chosen.items()} == dict.fromkeys(feeds, (2, 2))
    assert chosen["global_input_ids"].tolist() == [[2, 1], [3, 0]]
    longest = rows_of(feeds, np.array([0, 1]))
    assert (longest["attention_mask"].shape, longest["global_attention_mask"].shape) == ((2, 4), (2, 3))
    assert rows_of(token_feeds(both([])), np.array([], np.int64))["input_ids"].shape == (0, 0)


def test_one_encoder_is_fed_its_tokens_alone(both: SentenceTokenizer) -> None:
    tokens = both(TEXTS)._replace(global_tokens=None)
    assert set(token_feeds(tokens)) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "global_input_ids",
            np.ones((3, 9), np.int64),
            r"global_input_ids is \[3, 9\], global_attention_mask \[3, 3\]",
        ),
        ("attention_mask", np.ones((2, 3), np.int64), r"input_ids is \[3, 4\], attention_mask \[2, 3\]"),
        ("global_attention_mask", np.zeros((3, 3), np.int64), r"leaves nothing in the rows \[0, 1, 2\]"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(
    name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.int64]], message: str, both: SentenceTokenizer
) -> None:
    feeds = token_feeds(both(TEXTS))
    check_tokens(feeds)
    with pytest.raises(InvalidInput, match=message):
        check_tokens({**feeds, name: array})


def test_other_texts_for_the_second_encoder_are_refused(both: SentenceTokenizer) -> None:
    with pytest.raises(InvalidInput, match=r"global_input_ids is \[2, 3\], .* the texts are 3"):
        check_tokens(token_feeds(both(TEXTS)._replace(global_tokens=both(TEXTS[:2]).global_tokens)))


def test_a_bad_text_is_refused_and_the_next_batch_works(both: SentenceTokenizer) -> None:
    with pytest.raises(EmptyText):
        both(["a", " "])
    assert both(["a"]).input_ids.shape == (1, 1)
