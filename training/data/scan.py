"""SCAN's format: detector regions as one array per split, captions and ids as lines of text.

Lee et al., "Stacked Cross Attention for Image-Text Matching", ECCV 2018. CLIP's embeddings of the raw pictures stand
in `{split}_clip.npy`, or are computed from the pictures that `id_mapping.json` names.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from model.errors import DataError
from model.nn.backbones.regions import GLOBAL_DIMENSION, REGION_DIMENSION
from training.data.dataset import ImageTextDataset, Split, refuse_missing_pictures
from training.data.table import FeatureTable

ID_MAPPING = "id_mapping.json"

_GROUPS_COMPARED = 16


@dataclass(frozen=True, eq=False)
class ScanSplit:
    """One split of N images.

    Attributes:
        dataset: `image_paths` are the raw pictures where they were asked for, else names made of array and id.
        regions: memory-mapped [N or M, R, 2048].
        region_rows: row of each image in `regions`, [N].
        global_features: CLIP's embeddings [N, 512] from `{split}_clip.npy`; None without this file.
    """

    dataset: ImageTextDataset
    regions: NDArray[Any]
    region_rows: NDArray[np.int64]
    global_features: NDArray[np.float32] | None

    def table(self, global_features: NDArray[np.float32]) -> FeatureTable:
        """The regions beside global features [N, Dg], such as CLIP's of the raw pictures."""
        return FeatureTable.of_regions(self.regions, self.region_rows, global_features)


def load_scan(directory: Path, split: Split, images: Path | None = None) -> ScanSplit:
    """One split of a SCAN-format directory ("val" also under its name there, "dev").

    With `images`, a folder, the dataset names the raw pictures by `id_mapping.json`. Captions per image are the ratio
    of the lines to the images; ids and rows of the arrays may stand once per image or once per caption. Raises
    DataError for what is missing, counts without a whole ratio, and an id in two places.
    """
    prefix = "dev" if split == "val" and not (directory / "val_caps.txt").exists() else split
    captions = _read_lines(directory / f"{prefix}_caps.txt")
    ids = _read_ids(directory / f"{prefix}_ids.txt", len(captions))
    per_image = len(captions) // len(ids)
    regions_file = directory / f"{prefix}_ims.npy"
    regions = _read_array(regions_file, axes=3, width=REGION_DIMENSION)
    dataset = ImageTextDataset(
        name=f"{directory.name} {split}",
        image_paths=_map_ids(directory, ids, images) if images else tuple(regions_file / str(number) for number in ids),
        image_ids=ids,
        captions=tuple(captions),
        caption_ids=np.arange(len(captions)),
        image_of_caption=np.repeat(np.arange(len(ids)), per_image),
    )
    region_rows = _rows_of_images(regions_file, regions, len(ids), per_image)
    return ScanSplit(
        dataset, regions, region_rows, _read_globals(directory / f"{prefix}_clip.npy", len(ids), per_image)
    )


def _read_lines(file: Path) -> list[str]:
    try:
        text = file.read_bytes().decode()
    except FileNotFoundError:
        raise DataError(f"{file} is not there; SCAN's format has it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as lines of UTF-8: {error}") from error
    # Not `splitlines`: it also breaks at characters that may stand in a caption.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _read_ids(file: Path, captions: int) -> NDArray[np.int64]:
    """The id of each image, from lines that stand once per image or once per caption."""
    try:
        lines = np.array([int(line) for line in _read_lines(file)], np.int64)
    except ValueError as error:
        raise DataError(f"{file} holds a line that is no number: {error}") from error
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
        raise DataError(f"{file} is no array of NumPy: {error}") from error
    if array.ndim != axes or array.shape[-1] != width or array.dtype.kind != "f":
        raise DataError(
            f"{file} holds {array.dtype} {list(array.shape)}, expected floats of {axes} axes, the last {width}"
        )
    return array


def _read_globals(file: Path, images: int, per_image: int) -> NDArray[np.float32] | None:
    if not file.exists():
        return None
    array = _read_array(file, axes=2, width=GLOBAL_DIMENSION)
    return array[_rows_of_images(file, array, images, per_image)].astype(np.float32)


def _rows_of_images(file: Path, array: NDArray[Any], images: int, per_image: int) -> NDArray[np.int64]:
    """Row of each image in an array with one row per image or per caption, [N]."""
    if len(array) == images:
        return np.arange(images)
    if len(array) != images * per_image:
        raise DataError(
            f"{file} has {len(array)} rows, expected one per image ({images}) or caption ({images * per_image})"
        )
    rows = np.arange(images) * per_image
    # A look at some images: all of COCO's rows are tens of gigabytes.
    for row in rows[:: max(1, images // _GROUPS_COMPARED)]:
        if not np.array_equal(array[row], array[row + per_image - 1]):
            raise DataError(
                f"{file} has one row per caption, but rows {row} to {row + per_image - 1} of one image differ"
            )
    return rows


def _map_ids(directory: Path, ids: NDArray[np.int64], images: Path) -> tuple[Path, ...]:
    """The raw picture of each id."""
    file = directory / ID_MAPPING
    try:
        names = TypeAdapter(dict[int, str]).validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{file} cannot be read as JSON from id to file name: {str(error).splitlines()[0]}") from error
    unknown = [number for number in ids if number not in names]
    if unknown:
        raise DataError(f"{file} lacks {len(unknown)} of {len(ids)} ids, the first is {unknown[0]}")
    paths = tuple(images / names[number] for number in ids)
    refuse_missing_pictures(paths, images, str(directory))
    return paths
