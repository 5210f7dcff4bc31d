"""Texts of any script become tokens; what holds no word is refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from model.errors import ArtifactCorrupt, EmptyText, TextTooLong
from model.preprocess import MAX_TEXT_CHARACTERS, TextTokenizer, clean_text

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "dog")
PAD, UNK, CLS, SEP, RED, GREEN, DOG = range(len(WORDS))


def new_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    special = [("[CLS]", CLS), ("[SEP]", SEP)]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    new_tokenizer().save(str(path))
    return TextTokenizer(path, max_length=6)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  two dogs \n", "two dogs"),
        ("two\x00 do\x07gs\x7f", "two dogs"),
        ("\x00 \x00dog\x00", "dog"),
        ("line one\nline two\tend", "line one\nline two\tend"),
        ("собака 狗 كلب कुत्ता", "собака 狗 كلب कुत्ता"),
        ("👩‍👩‍👧 🏳️‍🌈", "👩‍👩‍👧 🏳️‍🌈"),
        ("\ud83d\ude00", "😀"),
        ("a\ud83db\ude00c", "a\ufffdb\ufffdc"),
        ("\ud83d", "\ufffd"),
    ],
)
def test_texts_are_cleaned(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize("text", ["", " ", "\x00", "\n\t\x00\x1f", "\u3000\u00a0"])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(EmptyText, match="the text is empty"):
        clean_text(text)


def test_the_longest_text_is_taken_and_a_longer_one_refused() -> None:
    assert len(clean_text("a" * MAX_TEXT_CHARACTERS)) == MAX_TEXT_CHARACTERS
    with pytest.raises(TextTooLong, match="the text has 10001 characters, at most 10000"):
        clean_text("a" * (MAX_TEXT_CHARACTERS + 1))


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_any_text_is_encodable_and_cleaning_it_again_changes_nothing(text: str) -> None:
    try:
        cleaned = clean_text(text)
    except EmptyText:
        return
    cleaned.encode("utf-8")
    assert "\x00" not in cleaned
    assert clean_text(cleaned) == cleaned


def test_texts_are_padded_to_the_longest_of_the_batch(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer(["red", " green\x00 dog ", "cat"])
    assert tokens.input_ids.dtype == tokens.attention_mask.dtype == np.int64
    assert tokens.input_ids.tolist() == [
        [CLS, RED, SEP, PAD],
        [CLS, GREEN, DOG, SEP],
        [CLS, UNK, SEP, PAD],
    ]
    assert tokens.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0]]
    assert tokens.truncated.tolist() == [False, False, False]


def test_a_text_alone_has_the_tokens_it_has_in_a_batch(tokenizer: TextTokenizer) -> None:
    texts = ["red", "green dog", "dog dog dog dog dog dog"]
    batch = tokenizer(texts)
    for row, text in enumerate(texts):
        alone = tokenizer([text])
        length = alone.input_ids.shape[1]
        assert batch.input_ids[row, :length].tolist() == alone.input_ids[0].tolist()
        assert batch.attention_mask[row].sum() == length


def test_truncation_at_the_limit_is_reported(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer(["red dog red dog", "red dog red dog red", "red " * 2000])
    assert tokens.truncated.tolist() == [False, True, True]
    assert tokens.input_ids.shape == (3, 6)
    assert (tokens.input_ids[:, -1] == SEP).all()


def test_no_texts_are_no_tokens(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer([])
    assert tokens.input_ids.shape == tokens.attention_mask.shape == (0, 0)
    assert tokens.truncated.shape == (0,)


def test_a_bad_text_is_refused_and_the_next_batch_works(tokenizer: TextTokenizer) -> None:
    with pytest.raises(EmptyText):
        tokenizer(["red", " "])
    with pytest.raises(TextTooLong):
        tokenizer(["red", "a" * 20_000])
    assert tokenizer(["red"]).input_ids.tolist() == [[CLS, RED, SEP]]


@given(st.lists(st.text(st.characters(exclude_categories=()), min_size=1, max_size=20), max_size=4))
def test_any_text_is_tokenised_or_empty(tokenizer: TextTokenizer, texts: list[str]) -> None:
    try:
        tokens = tokenizer(texts)
    except EmptyText:
        return
    assert len(tokens.input_ids) == len(texts)
    assert tokens.attention_mask.any(axis=1).all()


def pad_to_fixed_length(tokenizer: Tokenizer) -> None:
    tokenizer.enable_padding(direction="left", length=64, pad_id=DOG, pad_token="dog")


def truncate_early(tokenizer: Tokenizer) -> None:
    tokenizer.enable_truncation(3, stride=1, direction="left")


def pad_to_multiple(tokenizer: Tokenizer) -> None:
    tokenizer.enable_padding(pad_to_multiple_of=32)


@pytest.mark.parametrize("change", [pad_to_fixed_length, truncate_early, pad_to_multiple])
def test_a_files_own_padding_and_truncation_are_replaced(tmp_path: Path, change: Callable[[Tokenizer], None]) -> None:
    changed = new_tokenizer()
    change(changed)
    changed.save(str(tmp_path / "tokenizer.json"))
    tokens = TextTokenizer(tmp_path / "tokenizer.json", max_length=6)(["red green dog", "red"])
    assert tokens.input_ids[0].tolist() == [CLS, RED, GREEN, DOG, SEP]
    assert tokens.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def test_a_text_without_any_token_is_refused(tmp_path: Path) -> None:
    Tokenizer(BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer.json"))  # drops every other letter
    tokenizer = TextTokenizer(tmp_path / "tokenizer.json", max_length=6)
    with pytest.raises(EmptyText, match="the text 'bbb' has no word or sign that the model knows"):
        tokenizer(["aa", "bbb"])
    assert tokenizer(["aab"]).input_ids.tolist() == [[0, 0]]


def test_a_foreign_tokenizer_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": "none"}')
    for path in (tmp_path / "tokenizer.json", tmp_path / "nowhere.json"):
        with pytest.raises(ArtifactCorrupt, match=rf"{path.name} is not a file of `tokenizers`"):
            TextTokenizer(path, max_length=6)


def test_threads_share_a_tokenizer(tokenizer: TextTokenizer) -> None:
    texts = [f"{'red ' * (row % 5 + 1)}dog" for row in range(200)]
    expected = [tokenizer([text]).input_ids.tolist() for text in texts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: tokenizer([text]).input_ids.tolist(), texts))
    assert found == expected
