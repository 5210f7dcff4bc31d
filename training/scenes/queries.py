"""Captions that point at one image of a gallery: questions with one right answer."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple


class UniqueCaption(NamedTuple):
    """`text` holds for the image `image_id`, stored as `filename`, and for no other of the gallery."""

    text: str
    image_id: int
    caption_id: int
    filename: str


def unique_captions(scenes: Mapping[str, Any], image_ids: Collection[int]) -> list[UniqueCaption]:
    """The captions of the gallery's images that hold for exactly one image of it, in order of their ids.

    `scenes` is the content of `scenes.json`, `image_ids` the gallery. Ids that are not in `scenes` are left out.
    """
    gallery = set(image_ids)
    return [
        UniqueCaption(sentence["raw"], image["imgid"], sentence["sentid"], image["filename"])
        for image in scenes["images"]
        if image["imgid"] in gallery
        for sentence in image["sentences"]
        if gallery.intersection(sentence["holds"]) == {image["imgid"]}
    ]
