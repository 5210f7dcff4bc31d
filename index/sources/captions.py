"""A caption file, and how it meets the images that are there."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.sources.karpathy import read_karpathy
from index.sources.records import DescribedImage
from index.sources.tables import READERS, is_table, read_table
from model.errors import DataError

_KARPATHY = ".json"


@dataclass(frozen=True, slots=True)
class MatchedCaptions:
    """Described images by the uri of their file, and those whose file is not there."""

    by_uri: Mapping[str, DescribedImage]
    left_out: tuple[DescribedImage, ...] = ()


def read_captions(path: Path) -> list[DescribedImage]:
    """The captions of a file, grouped by image, in the order of the file.

    Raises DataError, naming file, line (or place in the JSON) and remedy, for a file that is not there, of an unknown
    kind, malformed, with duplicates, or without any caption.
    """
    if path.suffix.lower() != _KARPATHY and not is_table(path.name):
        raise DataError(f"{path} is not a caption file by its name; its kind may be {', '.join([_KARPATHY, *READERS])}")
    with readable(path):
        images = read_table([path], captions_needed=True) if is_table(path.name) else read_karpathy(path)
    if not any(image.captions for image in images):
        raise DataError(f"{path} holds no caption; add some, or rebuild without captions")
    return images


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading a file raises into DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def match_captions(images: Sequence[DescribedImage], uris: Collection[str], path: Path) -> MatchedCaptions:
    """Bind the images of the caption file `path` to the files that are there.

    Raises DataError where two images of the caption file can only be the same file.
    """
    by_uri: dict[str, DescribedImage] = {}
    left_out: list[DescribedImage] = []
    for image in images:
        uri = next((uri for uri in image.uris if uri in uris), None)
        if uri is None:
            left_out.append(image)
        elif uri in by_uri:
            raise DataError(
                f"{path}, {image.place}: {image.uris[0]} can only be the image {uri}, which {by_uri[uri].place} "
                "has already; keep the sub-folders that the file names"
            )
        else:
            by_uri[uri] = image
    return MatchedCaptions(by_uri, tuple(left_out))
