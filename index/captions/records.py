"""What a caption file says, whatever its format, and how it meets the pictures of a folder."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from model.errors import DataError


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption as it was written, where in the file it stands, and what else the file says about it."""

    text: str
    place: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """The captions of one image.

    `uris` are the paths below the images root at which the image may lie, the likeliest first: Karpathy's COCO file
    gives a sub-folder that not everybody keeps.
    """

    uris: tuple[str, ...]
    captions: tuple[Caption, ...]
    place: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MatchedCaptions:
    """Captioned images by the uri of their picture, and those whose picture is not in the folder."""

    by_uri: Mapping[str, CaptionedImage]
    left_out: tuple[CaptionedImage, ...]


def match_captions(images: Sequence[CaptionedImage], uris: Collection[str], path: Path) -> MatchedCaptions:
    """Bind the images of the caption file `path` to the pictures that are there.

    Raises DataError where two images of the file can only be the same picture.
    """
    by_uri: dict[str, CaptionedImage] = {}
    left_out: list[CaptionedImage] = []
    for image in images:
        uri = next((uri for uri in image.uris if uri in uris), None)
        if uri is None:
            left_out.append(image)
        elif uri in by_uri:
            raise DataError(
                f"{path}, {image.place}: {image.uris[0]} can only be the picture {uri}, which {by_uri[uri].place} "
                "has already; keep the sub-folders that the file names"
            )
        else:
            by_uri[uri] = image
    return MatchedCaptions(by_uri, tuple(left_out))


def normal_uri(name: str) -> str:
    """A path as the gallery writes it: no `./`, no doubled slash."""
    return PurePosixPath(name).as_posix()
