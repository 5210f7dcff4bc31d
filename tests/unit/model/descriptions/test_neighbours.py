"""Retrieval as a describer: consensus captions of the nearest images, and never those of the image itself."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.descriptions import Rejected, Source, Subject
from model.descriptions.neighbours import (
    NEIGHBOURS_FILES,
    NeighboursDescriber,
    load_neighbours,
)
from model.descriptions.neighbours.consensus import NeighbourSettings, consensus
from model.descriptions.neighbours.describer import Encode
from model.descriptions.neighbours.gallery import Gallery, read_gallery
from model.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput
from model.preprocess import prepare_images
from tests.describers import COLOURS, PREPROCESSING, described_by, embed, gallery, square, write_describer


def describer(of: Gallery | None = None, encode: Encode = embed, **settings: int) -> NeighboursDescriber:
    return NeighboursDescriber(of or gallery(), encode, PREPROCESSING, described_by(**settings).settings, "0" * 16)


def described(colour: str, by: NeighboursDescriber) -> str:
    (text,) = by.describe([Subject("x.png", square(colour))])
    assert isinstance(text, str)
    return text


def test_an_image_is_described_by_what_was_written_of_those_like_it() -> None:
    assert described("crimson", describer()) in {"a red square.", "something red."}
    assert described("mediumblue", describer()) in {"a blue sky.", "the sky is blue."}


@pytest.mark.parametrize("colour", COLOURS)
def test_an_image_of_the_gallery_is_not_described_by_its_own_captions(colour: str) -> None:
    own = {text.strip(" .") for text in COLOURS[colour]}
    text = described(colour, describer(neighbours=4, sentences=8))
    assert own.isdisjoint(part.strip() for part in text.split("."))
    others = sum(len(captions) for name, captions in COLOURS.items() if name != colour)
    assert text.count(".") == others


def test_a_written_describer_says_the_same_and_still_knows_its_own_images(tmp_path: Path) -> None:
    read = load_neighbours(write_describer(tmp_path / "d", neighbours=3, sentences=2))
    for colour in (*COLOURS, "crimson", "mediumblue"):
        found, expected = (described(colour, by) for by in (read, describer(neighbours=3, sentences=2)))
        same = ({part.strip() for part in text.split(".")} for text in (found, expected))
        assert next(same) == next(same)  # rounded, two equally good sentences may change places


def test_what_most_captions_agree_on_comes_first_and_is_said_once() -> None:
    captions = [
        ("a brown dog runs", 1.0),
        ("the brown dog is running", 1.0),
        ("brown dog runs on grass", 1.0),
        ("a man in a hat", 1.0),
        ("people at a table", 1.0),
    ]
    rarity = dict.fromkeys(["brown", "dog", "runs", "running", "grass", "man", "hat", "people", "table"], 1.0)
    first, *rest = consensus(captions, rarity, NeighbourSettings(sentences=5, repetition=0.0))
    assert first == "a brown dog runs"
    assert set(rest[:2]) == {"the brown dog is running", "brown dog runs on grass"}
    assert consensus(captions, rarity, NeighbourSettings(sentences=2, repetition=2.0))[1] in {
        "a man in a hat",
        "people at a table",
    }


def test_nearer_images_count_for_more() -> None:
    captions = [("a cat", 0.9), ("one cat", 0.9), ("a dog", 0.1), ("one dog", 0.1), ("some dog", 0.1)]
    rarity = {"cat": 1.0, "dog": 1.0}
    assert consensus(captions, rarity, NeighbourSettings(sentences=1))[0] == "a cat"


def test_captions_of_common_words_alone_are_still_captions() -> None:
    found = consensus([("a", 1.0), ("of the", 1.0)], {}, NeighbourSettings(sentences=3))
    assert sorted(found) == ["a", "of the"]


def test_an_image_that_cannot_be_encoded_is_rejected_alone() -> None:
    def fails_on_blue(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        if (pixels[:, 2] - pixels[:, 0]).max() > 0.9:
            raise InvalidInput("blue is not taken")
        return embed(pixels)

    subjects = [Subject(colour, square(colour)) for colour in ("red", "blue", "navy")]
    found = describer(encode=fails_on_blue).describe(subjects)
    assert found[1] == Rejected("blue is not taken")
    assert isinstance(found[0], str)
    assert isinstance(found[2], str)


def test_many_images_are_described_like_each_alone_and_by_their_pixels(tmp_path: Path) -> None:
    by = load_neighbours(write_describer(tmp_path / "d", neighbours=2, sentences=2))
    names = ["crimson", "teal", "olive", "navy", "orange"]
    together = by.describe([Subject(name, square(name)) for name in names])
    assert together == [described(name, by) for name in names]
    assert by.describe_pixels(prepare_images([square(name) for name in names], by.preprocessing)) == together


def test_other_galleries_and_settings_are_other_sources(tmp_path: Path) -> None:
    def source(name: str, of: Gallery | None = None, **settings: int) -> Source:
        return load_neighbours(write_describer(tmp_path / name, of, **settings)).source

    same = source("a")
    assert same == source("b") == source("c", gallery(**COLOURS))
    assert same.describer == "neighbours"
    others = {
        source("d", neighbours=2),
        source("e", sentences=2),
        source("f", gallery(red=("a red square",), blue=("sky",))),
    }
    assert same not in others
    assert len(others) == 3


def test_a_gallery_is_read_as_it_was_written(tmp_path: Path) -> None:
    read, file = read_gallery(write_describer(tmp_path / "d", sentences=5))
    np.testing.assert_allclose(read.embeddings, gallery().embeddings, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(read.embeddings, axis=1), 1, rtol=1e-6)
    assert read.captions == gallery().captions
    assert file == described_by(sentences=5)


@pytest.mark.parametrize("name", NEIGHBOURS_FILES)
def test_a_describer_without_one_of_its_files_is_refused(tmp_path: Path, name: str) -> None:
    directory = write_describer(tmp_path / "d")
    (directory / name).unlink()
    with pytest.raises(ArtifactMissing, match=rf"{name} is not there"):
        load_neighbours(directory)


@pytest.mark.parametrize("name", NEIGHBOURS_FILES)
def test_a_describer_with_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    directory = write_describer(tmp_path / "d")
    (directory / name).write_bytes(b"ARROW1 and then nothing")
    with pytest.raises(ArtifactCorrupt, match=name):
        load_neighbours(directory)


def test_embeddings_of_another_dimension_are_refused(tmp_path: Path) -> None:
    directory = write_describer(tmp_path / "d")
    text = (directory / "neighbours.json").read_text(encoding="utf-8")
    (directory / "neighbours.json").write_text(text.replace('"dimension": 4', '"dimension": 9'), encoding="utf-8")
    with pytest.raises(ArtifactCorrupt, match=r"of dimension 4, neighbours\.json says 9"):
        load_neighbours(directory)
