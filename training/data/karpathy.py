"""Karpathy's format: one JSON file with the images, their split and their sentences, beside a folder of pictures.

Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic import BaseModel

from model.errors import DataError
from training.data.dataset import ImageTextDataset, Split, refuse_missing_pictures
from training.data.json_file import parse_data_file

# COCO's validation images that Karpathy's split adds to training.
_TRAIN_NAMES = frozenset({"train", "restval"})


class _Sentence(BaseModel):
    raw: str
    sentid: int


class _Image(BaseModel):
    filename: str
    filepath: str = ""  # COCO: the folder below the root
    imgid: int
    split: str
    sentences: list[_Sentence]

    @property
    def path(self) -> Path:
        return Path(self.filepath, self.filename)


class _File(BaseModel):
    dataset: str = ""
    images: list[_Image]


def load_karpathy(json_file: Path, images: Path, split: Split) -> ImageTextDataset:
    """One split of a Karpathy file; "restval" counts as "train", any number of sentences per image.

    Raises DataError for wrong JSON, a split without images, a file name or sentence id that occurs twice, and
    pictures that are not below `images`, which are counted and the first named.
    """
    if split not in get_args(Split):
        raise DataError(f"there is no split '{split}'; choose one of {', '.join(get_args(Split))}")
    content = parse_data_file(json_file, _File, otherwise="is not in Karpathy's format")
    _refuse_duplicates(json_file, content.images)
    chosen = [image for image in content.images if _split_of(image) == split]
    if not chosen:
        found = ", ".join(sorted({image.split for image in content.images})) or "none"
        raise DataError(f"{json_file} has no image of split '{split}'; its splits: {found}")
    paths = tuple(images / image.path for image in chosen)
    refuse_missing_pictures(paths, images, f"split '{split}' of {json_file}")
    return _dataset(f"{content.dataset or json_file.stem} {split}", chosen, paths)


def _dataset(name: str, images: Sequence[_Image], paths: tuple[Path, ...]) -> ImageTextDataset:
    sentences = [sentence for image in images for sentence in image.sentences]
    counts = [len(image.sentences) for image in images]
    return ImageTextDataset(
        name=name,
        image_paths=paths,
        image_ids=np.array([image.imgid for image in images], np.int64),
        captions=tuple(sentence.raw for sentence in sentences),
        caption_ids=np.array([sentence.sentid for sentence in sentences], np.int64),
        image_of_caption=np.repeat(np.arange(len(images)), counts),
    )


def _split_of(image: _Image) -> str:
    return "train" if image.split in _TRAIN_NAMES else image.split


def _refuse_duplicates(json_file: Path, images: Iterable[_Image]) -> None:
    images = list(images)
    identities: dict[str, Iterable[Hashable]] = {
        "file name": (image.path for image in images),
        "imgid": (image.imgid for image in images),
        "sentid": (sentence.sentid for image in images for sentence in image.sentences),
    }
    for kind, values in identities.items():
        (value, count), *_ = Counter(values).most_common(1) or [(None, 0)]
        if count > 1:
            raise DataError(f"{json_file} has {kind} {value} {count} times; each may stand once")
