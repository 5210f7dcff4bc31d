"""SCAN's format: detector regions as one array per split, captions and ids as lines of text.

Lee et al., "Stacked Cross Attention for Image-Text Matching", ECCV 2018. Training, evaluation and the index read it.

    {split}_ims.npy      regions [N or M, R, 2048], one row per image or per caption
    {split}_caps.txt     M captions, those of one image together
    {split}_ids.txt      the image id, once per image or once per caption
    {split}_clip.npy     CLIP's embeddings of the raw images [N or M, 512]; may be absent
    id_mapping.json      image id to file name of the raw image, here or in the folder above; may be absent
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from model.errors import DataError

REGIONS = "regions"  # the image backbone that takes them
REGION_DIMENSION = 2048  # bottom-up attention, Anderson et al., CVPR 2018
GLOBAL_DIMENSION = 512  # the image embedding of CLIP ViT-B/32
ID_MAPPING = "id_mapping.json"

# SCAN calls the val split "dev"; of COCO, "test" is the first thousand images of "testall".
_PREFIXES: Mapping[str, Sequence[str]] = {"train": ("train",), "val": ("val", "dev"), "test": ("testall", "test")}
_GROUPS_COMPARED = 16


class RegionArrays(NamedTuple):
    """The regions of N images, left on disk until they are asked for."""

    values: NDArray[Any]  # [N or M, R, 2048], memory-mapped
    rows: NDArray[np.int64]  # row of each image in `values`, [N]

    def of(self, images: slice) -> NDArray[np.float32]:
        """The regions of some images, [B, R, 2048]."""
        regions: NDArray[np.float32] = self.values[self.rows[images]].astype(np.float32)
        return regions


@dataclass(frozen=True, eq=False)
class ScanFiles:
    """One split of N images with equally many captions each; arrays are read when they are asked for.

    Attributes:
        prefix: what the names of the split's files begin with, such as "dev".
        image_ids: [N], unique.
        captions: M = N x per_image sentences, those of one image together.
    """

    directory: Path
    prefix: str
    image_ids: NDArray[np.int64]
    captions: tuple[str, ...]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.image_ids)

    @property
    def per_image(self) -> int:
        """Captions of each image: the ratio of the lines."""
        return len(self.captions) // len(self.image_ids)

    @property
    def regions_file(self) -> Path:
        return self.directory / f"{self.prefix}_ims.npy"

    @property
    def clip_file(self) -> Path:
        return self.directory / f"{self.prefix}_clip.npy"

    def regions(self) -> RegionArrays:
        """The detector regions; raises DataError for a missing file, another shape, and rows that do not fit."""
        values = _read_array(self.regions_file, axes=3, width=REGION_DIMENSION)
        return RegionArrays(values, self._rows_of_images(self.regions_file, values))

    def global_features(self) -> NDArray[np.float32] | None:
        """CLIP's embeddings [N, 512], None without their file; raises DataError as `regions` does."""
        if not self.clip_file.exists():
            return None
        values = _read_array(self.clip_file, axes=2, width=GLOBAL_DIMENSION)
        return values[self._rows_of_images(self.clip_file, values)].astype(np.float32)

    def image_names(self) -> tuple[str, ...]:
        """File names of the N raw images; raises DataError for an id without one, and for one name of two ids."""
        file = next((path for path in self._mappings() if path.exists()), self.directory / ID_MAPPING)
        names = _read_mapping(file)
        unknown = [number for number in self.image_ids if number not in names]
        if unknown:
            raise DataError(f"{file} lacks {len(unknown)} of {len(self)} ids, the first is {unknown[0]}")
        found = tuple(names[number] for number in self.image_ids)
        name, count = Counter(found).most_common(1)[0]
        if count > 1:
            raise DataError(f"{file} names {name} for {count} ids; each image has one id")
        return found

    def _mappings(self) -> tuple[Path, Path]:
        return self.directory / ID_MAPPING, self.directory.parent / ID_MAPPING

    def _rows_of_images(self, file: Path, array: NDArray[Any]) -> NDArray[np.int64]:
        """Row of each image in an array with one row per image or per caption, [N]."""
        images, captions = len(self), len(self.captions)
        if len(array) == images:
            return np.arange(images)
        if len(array) != captions:
            raise DataError(f"{file} has {len(array)} rows, expected one per image ({images}) or caption ({captions})")
        rows = np.arange(images) * self.per_image
        # A look at some images: all of COCO's rows are tens of gigabytes.
        for row in rows[:: max(1, images // _GROUPS_COMPARED)]:
            last = row + self.per_image - 1
            if not np.array_equal(array[row], array[last]):
                raise DataError(f"{file} has one row per caption, but rows {row} to {last} of one image differ")
        return rows


def open_scan(directory: Path, split: str) -> ScanFiles:
    """The ids and captions of one split; "val" may be called "dev" there, and "test" be a part of "testall".

    Raises DataError for what is missing or empty, for counts without a whole ratio, and for an id in two places.
    """
    if split not in _PREFIXES:
        raise DataError(f"there is no split '{split}'; choose one of {', '.join(_PREFIXES)}")
    prefixes = _PREFIXES[split]
    prefix = next((name for name in prefixes if (directory / f"{name}_caps.txt").exists()), prefixes[-1])
    captions = _read_lines(directory / f"{prefix}_caps.txt")
    ids = _read_ids(directory / f"{prefix}_ids.txt", len(captions))
    return ScanFiles(directory, prefix, ids, tuple(captions))


def scan_splits(directory: Path) -> list[str]:
    """The splits that a directory has captions of."""
    return [
        split
        for split, prefixes in _PREFIXES.items()
        if any((directory / f"{prefix}_caps.txt").exists() for prefix in prefixes)
    ]


def _read_lines(file: Path) -> list[str]:
    try:
        text = file.read_bytes().decode()
    except FileNotFoundError:
        raise DataError(f"{file} is not there; SCAN's format has it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as lines of UTF-8: {error}") from error
    if not text.strip():
        raise DataError(f"{file} is empty: the split has no image; put its lines there")
    # Not `splitlines`: it also breaks at characters that may stand in a caption.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _read_ids(file: Path, captions: int) -> NDArray[np.int64]:
    """The id of each image, from lines that stand once per image or once per caption."""
    try:
        lines = np.array([int(line) for line in _read_lines(file)], np.int64)
    except ValueError as error:
        raise DataError(f"{file} holds a line that is not a number: {error}") from error
    starts = np.flatnonzero(np.diff(lines, prepend=lines[0] - 1))
    ids = lines[starts]
    if len(np.unique(ids)) < len(ids):
        raise DataError(f"{file} has an id in two places; lines of one image must follow each other")
    repeats = np.unique(np.diff(starts, append=len(lines)))  # how often each id stands
    if captions % len(ids) or (len(lines) != len(ids) and repeats.tolist() != [captions // len(ids)]):
        raise DataError(
            f"{captions} captions and {len(lines)} lines of {len(ids)} ids in {file} give no whole number of captions "
            f"per image; one of the two files is cut or of another data set"
        )
    return ids


def _read_array(file: Path, *, axes: int, width: int) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r")
    except FileNotFoundError:
        raise DataError(f"{file} is not there; SCAN's format has it") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file} is not an array of NumPy: {error}") from error
    if array.ndim != axes or array.shape[-1] != width or array.dtype.kind != "f":
        raise DataError(
            f"{file} holds {array.dtype} {list(array.shape)}, expected floats of {axes} axes, the last {width}"
        )
    return array


def _read_mapping(file: Path) -> dict[int, str]:
    try:
        return TypeAdapter(dict[int, str]).validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{file} cannot be read as JSON from id to file name: {str(error).splitlines()[0]}") from error
