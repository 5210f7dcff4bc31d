"""Files of captions in every format that is read: one split, beside a folder of images."""

from pathlib import Path
from typing import Literal, cast, get_args

from model.datasets.scan import open_scan
from model.errors import DataError
from training.data.dataset import ImageTextDataset, Split
from training.data.karpathy import load_karpathy
from training.data.n24news import load_n24news
from training.data.rsitmd import load_rsitmd
from training.data.scan import scan_dataset

FileFormat = Literal["karpathy", "scan", "n24news", "rsitmd"]

_LOADERS = {"karpathy": load_karpathy, "n24news": load_n24news, "rsitmd": load_rsitmd}


def read_split(data: Path, images: Path | None, split: str, file_format: FileFormat | None = None) -> ImageTextDataset:
    """One split of a data set; where no format is given, a directory is in SCAN's and a file in Karpathy's.

    Raises DataError for a split that there is not, for data that is not in its format, and where `images`, the folder
    of the image files, is missing: SCAN's format alone can do without.
    """
    if split not in get_args(Split):
        raise DataError(f"there is no split '{split}'; choose one of {', '.join(get_args(Split))}")
    found = file_format or ("scan" if data.is_dir() else "karpathy")
    if found == "scan":
        return scan_dataset(open_scan(data, split), images)
    if images is None:
        raise DataError(f"{data} names images: say with --images where they are")
    return _LOADERS[found](data, images, cast(Split, split))
