"""What a source says, whatever its kind: records of images with their captions, in one order for ever."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.items import image_item_id
from index.rejects import Reject
from model.datasets.scan import RegionArrays
from model.errors import DataError

MAX_ID_LENGTH = 256

# One object for all: a dictionary for each caption would be half of the memory that the records take.
NO_PAYLOAD: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption as it was written, where it stands (such as "line 3"), and what else is said about it."""

    text: str
    place: str
    payload: Mapping[str, Any] = field(default_factory=lambda: NO_PAYLOAD)


class GivenDescription(NamedTuple):
    """What a file says that an image shows, and the SHA-256 of the bytes that were described."""

    text: str
    image_sha256: bytes


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One image to be embedded with its captions.

    `uri` is a POSIX path below the images root, which may lead through a tar archive: `shard-0.tar/cat.jpg`.
    `description` is for a model that fuses semantics.
    """

    uri: str
    id: str
    captions: tuple[Caption, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=lambda: NO_PAYLOAD)
    description: GivenDescription | None = None


@dataclass(frozen=True, slots=True)
class DescribedImage:
    """What a file says of one image, before it is known whether the image is there.

    `uris` are the paths at which the image may lie, the likeliest first: Karpathy's COCO file names a sub-folder that
    not everybody keeps. `place` says where in the file the image stands. `id` is None where none is given.
    """

    uris: tuple[str, ...]
    captions: tuple[Caption, ...]
    place: str
    payload: Mapping[str, Any] = field(default_factory=lambda: NO_PAYLOAD)
    id: str | None = None


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """What an image encoder of regions sees of N images; row n belongs to record n.

    `stamp` changes whenever the files do.
    """

    regions: RegionArrays
    global_features: NDArray[np.float32]  # [N, Dg]
    stamp: str


@dataclass(frozen=True)
class Source:
    """Everything that is to be indexed.

    `rejects` are files that were found and cannot be images, `ignored` counts files of other kinds, and `left_out`
    captions whose image is not there. `notes` are lines for the user. With `regions`, images are embedded by those and
    not by their files.
    """

    images_root: Path
    records: Sequence[SourceRecord]
    rejects: Sequence[Reject] = ()
    ignored: int = 0
    left_out: int = 0
    notes: Sequence[str] = ()
    regions: RegionFeatures | None = None

    @property
    def captions(self) -> int:
        """The number of captions of all records."""
        return sum(len(record.captions) for record in self.records)


def records_of(images: Iterable[tuple[str, DescribedImage | None]], path: Path) -> list[SourceRecord]:
    """A record for each uri with what `path` says of it.

    Raises DataError, naming both places, where two images have one uri or one id.
    """
    records: list[SourceRecord] = []
    ids: dict[str, str] = {}
    uris: dict[str, str] = {}
    for uri, described in images:
        image_id = (described and described.id) or image_item_id(uri)
        place = described.place if described else uri
        for name, value, places in (("image", uri, uris), ("id", image_id, ids)):
            if (earlier := places.get(value)) is not None:
                raise DataError(
                    f"{path}, {place}: the {name} {value!r:.80} is at {earlier} already; keep one of the two"
                )
            places[value] = place
        if described is None:
            records.append(SourceRecord(uri, image_id))
        else:
            records.append(SourceRecord(uri, image_id, described.captions, described.payload))
    return records


def normal_uri(name: str) -> str:
    """A path as an index writes it: no `./`, no doubled slash."""
    return PurePosixPath(name).as_posix()


def is_utf8(name: str) -> bool:
    """Whether a name can be written as UTF-8, which answers of the service are."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_names(names: Sequence[str], count: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"
