from pathlib import Path

import pytest

from index.sources.captions import match_captions
from index.sources.records import Caption, DescribedImage, normal_uri
from model.datasets.strict_json import parse_json
from model.errors import DataError

PATH = Path("captions.json")


def record(*uris: str) -> DescribedImage:
    return DescribedImage(uris, (Caption("a dog", "here"),), f"place of {uris[0]}")


def test_the_likeliest_path_that_is_there_wins() -> None:
    both, bare, absent = record("val/a.jpg", "a.jpg"), record("val/b.jpg", "b.jpg"), record("val/c.jpg", "c.jpg")
    matched = match_captions([both, bare, absent], {"val/a.jpg", "a.jpg", "b.jpg", "other.jpg"}, PATH)
    assert matched.by_uri == {"val/a.jpg": both, "b.jpg": bare}
    assert matched.left_out == (absent,)


def test_two_images_that_can_only_be_one_image_are_refused() -> None:
    with pytest.raises(DataError, match=r"place of val/a\.jpg: val/a\.jpg can only be the image a\.jpg"):
        match_captions([record("train/a.jpg", "a.jpg"), record("val/a.jpg", "a.jpg")], {"a.jpg"}, PATH)


@pytest.mark.parametrize(("name", "uri"), [("./a//b.jpg", "a/b.jpg"), ("a.jpg", "a.jpg"), ("../a.jpg", "../a.jpg")])
def test_paths_are_written_as_in_the_gallery(name: str, uri: str) -> None:
    assert normal_uri(name) == uri


@pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', "[-Infinity]", r'"\ud800"', "{", "1" * 5000])
def test_json_that_an_answer_could_not_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_escaped_characters_outside_of_the_basic_plane_are_taken() -> None:
    assert parse_json(r'["\ud83d\udc15"]') == ["🐕"]
