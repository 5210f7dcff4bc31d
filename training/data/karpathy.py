"""Karpathy's format as training takes it: one split of a JSON file, beside a folder of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic import ConfigDict

from model.datasets.karpathy import KarpathyImage, KarpathySentence, read_karpathy, refuse_twice
from model.errors import DataError
from training.data.dataset import ImageTextDataset, Split, refuse_missing_images

# COCO's validation images that Karpathy's split adds to training.
_TRAIN_NAMES = frozenset({"train", "restval"})


class _Sentence(KarpathySentence):
    model_config = ConfigDict(extra="ignore")

    sentid: int


class _Image(KarpathyImage[_Sentence]):
    model_config = ConfigDict(extra="ignore")

    imgid: int
    split: str


def load_karpathy(json_file: Path, images: Path, split: Split) -> ImageTextDataset:
    """One split of a Karpathy file; "restval" counts as "train", any number of sentences per image.

    Raises DataError for a file that is not in the format, a split without images, a path or id that occurs twice, and
    images that are not below the folder `images`, which are counted and the first named.
    """
    if split not in get_args(Split):
        raise DataError(f"there is no split '{split}'; choose one of {', '.join(get_args(Split))}")
    content = read_karpathy(json_file, _Image)
    refuse_twice(json_file, "imgid", ((image.imgid, f"images[{at}]") for at, image in enumerate(content.images)))
    chosen = [image for image in content.images if _split_of(image) == split]
    if not chosen:
        found = ", ".join(sorted({image.split for image in content.images})) or "none"
        raise DataError(f"{json_file} has no image of split '{split}'; its splits: {found}")
    paths = tuple(images / image.uri for image in chosen)
    refuse_missing_images(paths, images, f"split '{split}' of {json_file}")
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
