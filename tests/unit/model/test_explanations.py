"""Words over cells: the cosines, what is a word, and which part of the image is seen."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from model.errors import UnsupportedQuery
from model.explanations import word_cell_cosines, word_maps
from model.preprocess import ImagePreprocessing, TextTokenizer, prepare_image, seen_part
from model.runtime import Runtime
from tests.artifacts import write_colour_model, write_region_model

_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "snow", "##board", "##ing", "a", "dog", "'", "s", ","]


@pytest.fixture
def tokenizer(tmp_path: Path) -> TextTokenizer:
    """One that cuts words in pieces and adds special tokens, as BERT's does."""
    built = Tokenizer(WordPiece({word: row for row, word in enumerate(_VOCABULARY)}, unk_token="[UNK]"))
    built.normalizer = Lowercase()
    built.pre_tokenizer = BertPreTokenizer()
    built.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    built.save(str(tmp_path / "tokenizer.json"))
    return TextTokenizer(tmp_path / "tokenizer.json", 8)


def test_cosines_equal_the_slow_way_and_words_are_means_of_their_tokens() -> None:
    generator = np.random.default_rng(0)
    tokens, cells = (generator.normal(size=(rows, 6)).astype(np.float32) for rows in (5, 4))
    found = word_cell_cosines(tokens, cells, [(1,), (2, 3)])
    for row, own in enumerate([(1,), (2, 3)]):
        for column, cell in enumerate(cells):
            each = [t @ cell / np.linalg.norm(t) / np.linalg.norm(cell) for t in tokens[list(own)]]
            assert found[row, column] == pytest.approx(np.mean(each), abs=1e-6)


def test_features_of_length_zero_agree_with_nothing() -> None:
    found = word_cell_cosines(np.zeros((1, 3), np.float32), np.ones((2, 3), np.float32), [(0,)])
    assert found.tolist() == [[0, 0]]


def test_pieces_make_words_and_special_tokens_and_signs_make_none(tokenizer: TextTokenizer) -> None:
    text = "  A\u0000 Snowboarding, zebra's"
    words = tokenizer.words(text)
    cleaned = "A Snowboarding, zebra's"
    assert [(cleaned[word.start : word.end], word.tokens) for word in words] == [
        ("A", (1,)),
        ("Snowboarding", (2, 3, 4)),
        ("zebra", (6,)),
    ]  # 's lies behind the eighth token


def test_offsets_count_characters(tokenizer: TextTokenizer) -> None:
    (word,) = tokenizer.words("🐕 dog")[-1:]
    assert (word.start, word.end) == (2, 5)


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (33, 20), (20, 20)])
def test_the_seen_part_is_what_the_pixels_come_from(size: tuple[int, int]) -> None:
    how = ImagePreprocessing(size=10, mean=(0, 0, 0), std=(1, 1, 1), resize="crop", interpolation="bilinear")
    part = seen_part(size, how)
    width, height = size
    box = (part.left * width, part.top * height, (part.left + part.width) * width, (part.top + part.height) * height)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))
    expected = np.asarray(image.resize((10, 10), Image.Resampling.BILINEAR, box)).transpose(2, 0, 1) / 255
    # The whole image is resized and then cut, which rounds a few values the other way.
    np.testing.assert_allclose(prepare_image(image, how), expected, atol=1.01 / 255)
    assert seen_part(size, how.model_copy(update={"resize": "squash"})) == (0, 0, 1, 1)


def test_maps_are_rows_and_columns_of_the_image(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), "white")
    image.paste("red", (0, 8, 8, 16))  # the lower left quarter
    with Runtime.load(write_colour_model(tmp_path / "model"), workers=1) as runtime:
        maps = word_maps(runtime, "red", image)
        assert np.unravel_index(maps.cosines[0].argmax(), (2, 2)) == (1, 0)
        np.testing.assert_allclose(maps.text_embedding, runtime.encode_texts(["red"])[0], atol=1e-6)
        np.testing.assert_allclose(maps.image_embedding, runtime.encode_images([image])[0], atol=1e-6)


def test_a_model_of_regions_is_refused(tmp_path: Path) -> None:
    with (
        Runtime.load(write_region_model(tmp_path / "model"), workers=1) as runtime,
        pytest.raises(UnsupportedQuery, match="precomputed regions"),
    ):
        word_maps(runtime, "red", Image.new("RGB", (8, 8)))
