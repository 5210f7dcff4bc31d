"""The tokenizer of an imported model: how texts are normalised and padded."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from model.errors import ArtifactCorrupt, ConfigError
from model.preprocess import TextTokenizer
from training.importing.files import ModelDirectory
from training.importing.texts import max_length, read_tokenizer

WORDS = ("<pad>", "<unk>", "a", "dog", "two", "cats", "and", "A", "Dog", ".", ",")


def source_of(directory: Path, model_type: str = "siglip", *, lower: bool = False, **settings: Any) -> ModelDirectory:
    """A directory whose tokenizer.json knows a few words and signs, in both cases."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(directory / "tokenizer.json"))
    return ModelDirectory(directory, {"model_type": model_type}, (), settings)


def words_of(source: ModelDirectory, text: str) -> list[str]:
    tokens: list[str] = read_tokenizer(source).encode(text).tokens
    return tokens


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"tokenizer_class": "GemmaTokenizer"}, ["a", "dog", "."]),
        ({"tokenizer_class": "SiglipTokenizer"}, ["a", "dog"]),
    ],
)
def test_siglip_reads_lower_case_and_its_first_version_no_punctuation(
    settings: dict[str, str], expected: list[str], *, lower: bool, tmp_path: Path
) -> None:
    source = source_of(tmp_path, pad_token="<pad>", lower=lower, **settings)
    assert words_of(source, "A Dog.") == expected
    (offsets, *_) = read_tokenizer(source).encode(". Dog").offsets[-1:]
    assert offsets == (2, 5), "places of words are those in the text as it came"


def test_a_tokenizer_that_tells_cases_apart_stays_as_it_is(tmp_path: Path) -> None:
    assert words_of(source_of(tmp_path, pad_token="<pad>", do_lower_case=False), "A Dog.") == ["A", "Dog", "."]
    assert words_of(source_of(tmp_path, "clip"), "A Dog.") == ["A", "Dog", "."]


def test_the_padding_token_is_found_where_transformers_finds_it(tmp_path: Path) -> None:
    def padding(source: ModelDirectory) -> Any:
        found = read_tokenizer(source).padding or {}
        return found["pad_id"], found["pad_token"]

    assert padding(source_of(tmp_path, pad_token="dog")) == (3, "dog")
    assert padding(source_of(tmp_path, pad_token={"content": "two"})) == (4, "two")
    assert padding(source_of(tmp_path, "clip")) == (0, "<pad>")
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "<unk>"}')
    assert padding(source_of(tmp_path)) == (1, "<unk>")
    (tmp_path / "special_tokens_map.json").write_text("{")
    with pytest.raises(ConfigError, match="does not say with which token its texts are padded"):
        read_tokenizer(source_of(tmp_path, pad_token="nowhere"))


def test_padding_on_the_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pads its texts on the left"):
        read_tokenizer(source_of(tmp_path, pad_token="<pad>", padding_side="left"))
    assert read_tokenizer(source_of(tmp_path, "clip", padding_side="left"))


def test_a_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    source = source_of(tmp_path, pad_token="<pad>")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtifactCorrupt, match=r"tokenizer.json is not a file of `tokenizers`"):
        read_tokenizer(source)


@pytest.mark.parametrize(
    ("said", "expected"), [({}, 64), ({"model_max_length": 16}, 16), ({"model_max_length": 1e30}, 64)]
)
def test_the_length_is_that_of_the_network_or_less(said: dict[str, float], expected: int, tmp_path: Path) -> None:
    assert max_length(source_of(tmp_path, **said), 64) == expected


@pytest.mark.parametrize("said", [2, "many", None])
def test_a_length_for_no_word_is_refused(said: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 3 are needed"):
        max_length(source_of(tmp_path, model_max_length=said), 64)


def test_words_are_found_where_the_tokenizer_splits_none(tmp_path: Path) -> None:
    pieces = ["<pad>", "▁", "a", "d", "o", "g", "s", "do", "▁do", "▁a", "▁dog"]
    merges = [("d", "o"), ("▁", "do"), ("▁", "a"), ("▁do", "g")]
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, merges))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = "a dogs  do"
    words = TextTokenizer(tmp_path / "tokenizer.json", 16).words(text)
    assert [text[word.start : word.end] for word in words] == ["a", "dogs", "do"]
    assert words[1].tokens == (1, 2)
