"""Queries with one right answer."""

from typing import Any

from training.scenes import unique_captions
from training.scenes.queries import UniqueCaption

from .checker import caption_holds

Json = dict[str, Any]


def test_each_holds_for_one_image_of_the_gallery_and_none_is_missed(images: list[Json]) -> None:
    gallery = list(range(40, 90))
    expected = [
        UniqueCaption(sentence["raw"], i, sentence["sentid"], images[i]["filename"])
        for i in gallery
        for sentence in images[i]["sentences"]
        if [j for j in gallery if caption_holds(sentence["claims"], images[j]["facts"])] == [i]
    ]
    assert expected
    assert unique_captions({"images": images}, gallery) == expected


def test_a_smaller_gallery_has_more_of_them(images: list[Json]) -> None:
    few = {caption.text for caption in unique_captions({"images": images}, range(20)) if caption.image_id < 20}
    many = {caption.text for caption in unique_captions({"images": images}, range(200)) if caption.image_id < 20}
    assert many < few


def test_unknown_ids_are_left_out(images: list[Json]) -> None:
    assert unique_captions({"images": images}, [10**6]) == []
    assert unique_captions({"images": images}, []) == []
