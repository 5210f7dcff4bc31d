"""RSITMD, aerial images: a file in Karpathy's layout that knows only train and test. The val split is made here.

Yuan et al., "Exploring a Fine-Grained Multiscale Method for Cross-Modal Remote Sensing Image Retrieval", TGRS 2022.
"""

import hashlib
from pathlib import Path

import numpy as np
from pydantic import ConfigDict

from model.datasets.karpathy import KarpathyImage, KarpathySentence, read_karpathy
from model.errors import DataError
from training.data.dataset import ImageTextDataset, Split, refuse_missing_images

NAME = "rsitmd"
REMEDY = 'dataset_RSITMD.json is {"images": [{"filename": "a.tif", "split": "train", "sentences": [{"raw": "..."}]}]}'

# One training image in so many is held out for val.
TRAIN_PER_VAL = 10


class _Image(KarpathyImage[KarpathySentence]):
    model_config = ConfigDict(extra="ignore")

    split: str


def load_rsitmd(json_file: Path, images: Path, split: Split) -> ImageTextDataset:
    """One split of dataset_RSITMD.json, any number of sentences an image. Ids are the places in the file.

    val is a tenth of the images that the file has under "train", chosen by the hash of their names, and train is the
    rest: the same in every run and whatever the order of the file; test is as published.

    Raises DataError for a file that is not in the layout, a split that it does not know or that is left without images,
    a path that occurs twice, a sentence without words, and images that are not below the folder `images`.
    """
    content = read_karpathy(json_file, _Image, remedy=REMEDY)
    _refuse_faults(json_file, content.images)
    chosen = [(place, image) for place, image in enumerate(content.images) if _split_of(image) == split]
    if not chosen:
        raise DataError(f"{json_file} has no image for split '{split}': give the whole dataset_RSITMD.json")
    paths = tuple(images / image.uri for _, image in chosen)
    refuse_missing_images(paths, images, f"split '{split}' of {json_file}")
    counts = np.array([len(image.sentences) for image in content.images], np.int64)
    first = np.cumsum(counts) - counts  # place of each image's first sentence in the file
    return ImageTextDataset(
        name=f"{content.dataset or NAME} {split}",
        image_paths=paths,
        image_ids=np.array([place for place, _ in chosen], np.int64),
        captions=tuple(sentence.raw for _, image in chosen for sentence in image.sentences),
        caption_ids=np.concatenate([first[place] + np.arange(counts[place]) for place, _ in chosen]),
        image_of_caption=np.repeat(np.arange(len(chosen)), [len(image.sentences) for _, image in chosen]),
    )


def _split_of(image: _Image) -> str:
    """The split that an image belongs to: "val" is taken from "train", never from "test"."""
    if image.split == "train" and _drawn_for_val(image.uri):
        return "val"
    return image.split


def _drawn_for_val(uri: str) -> bool:
    return int.from_bytes(hashlib.sha256(uri.encode()).digest()[:8]) % TRAIN_PER_VAL == 0


def _refuse_faults(file: Path, images: list[_Image]) -> None:
    for at, image in enumerate(images):
        if image.split not in ("train", "test"):
            raise DataError(
                f"{file}, images[{at}].split: it is '{image.split}', RSITMD has train and test; a file with a val "
                "split of its own is of format 'karpathy'"
            )
        for place, sentence in enumerate(image.sentences):
            if not sentence.raw.strip():
                raise DataError(
                    f"{file}, images[{at}].sentences[{place}]: it is empty, as in the file before its correction of "
                    "October 2021; get the later one, or remove the sentence"
                )
