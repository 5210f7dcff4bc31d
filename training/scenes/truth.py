"""What is true of what in one split of drawn scenes, as matrices over its images and captions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from model.datasets.karpathy import KarpathyImage, KarpathySentence, read_karpathy
from model.errors import DataError
from training.data.dataset import ImageTextDataset

REMEDY = "give the scenes.json of `aahr data scenes`: it alone says which captions hold for which images"


class _SoftNegative(BaseModel):
    imgid: int
    swap: str


class _Sentence(KarpathySentence):
    sentid: int
    holds: list[int]
    soft_negatives: list[_SoftNegative]


class _Image(KarpathyImage[_Sentence]):
    imgid: int
    family: int


@dataclass(frozen=True, eq=False)
class SceneTruth:
    """All matrices are [N, M], over the images and captions of one split.

    Attributes:
        holds: for which images a caption is true, its own included.
        holders: the same within the family of the caption's image.
        soft_negatives: by what was swapped ("attribute", "relation"), the images of the family for which it is false.
    """

    holds: NDArray[np.bool_]
    holders: NDArray[np.bool_]
    soft_negatives: Mapping[str, NDArray[np.bool_]]


def load_scene_truth(json_file: Path, dataset: ImageTextDataset) -> SceneTruth:
    """The truth of `scenes.json` for the images and captions of `dataset`; images of other splits are left out.

    Raises DataError for a file without `holds` and `soft_negatives`, captions of the dataset that are not in it, and
    captions of which none has a soft negative.
    """
    images = read_karpathy(json_file, _Image, remedy=REMEDY).images
    row_of = {image_id: row for row, image_id in enumerate(dataset.image_ids.tolist())}
    sentences = _in_order(images, dataset, json_file)
    negatives = [(s.imgid, column, s.swap) for column, each in enumerate(sentences) for s in each.soft_negatives]
    swaps = {
        swap: _matrix(((image, column) for image, column, kind in negatives if kind == swap), row_of, len(sentences))
        for swap in sorted({kind for *_, kind in negatives})
    }
    if not any(matrix.any() for matrix in swaps.values()):
        raise DataError(f"no caption of {dataset.name} has a soft negative in {json_file}: draw more scenes")
    holds = _matrix(
        ((image, column) for column, each in enumerate(sentences) for image in each.holds), row_of, len(sentences)
    )
    family_of = {image.imgid: image.family for image in images}
    families = np.array([family_of.get(image_id, -1) for image_id in dataset.image_ids.tolist()])
    same_family = families[:, None] == families[dataset.image_of_caption][None, :]  # [N, M]
    return SceneTruth(holds, holds & same_family, swaps)


def with_families(dataset: ImageTextDataset, json_file: Path) -> ImageTextDataset:
    """The dataset of some drawn scenes with their families, and what else their captions hold for.

    Raises DataError as `load_scene_truth` does for a file without `holds`, and for captions that are not in it.
    """
    images = read_karpathy(json_file, _Image, remedy=REMEDY).images
    row_of = {image_id: row for row, image_id in enumerate(dataset.image_ids.tolist())}
    family_of = {image.imgid: image.family for image in images}
    holders = [
        (column, row_of[image_id])
        for column, sentence in enumerate(_in_order(images, dataset, json_file))
        for image_id in sentence.holds
        if image_id in row_of and row_of[image_id] != dataset.image_of_caption[column]
    ]
    return replace(
        dataset,
        families=np.array([family_of[image_id] for image_id in dataset.image_ids.tolist()], np.int64),
        also_holds=np.array(holders, np.int64).reshape(-1, 2),
    )


def _in_order(images: list[_Image], dataset: ImageTextDataset, json_file: Path) -> list[_Sentence]:
    """The sentences of the dataset's captions, in its order."""
    by_id = {sentence.sentid: sentence for image in images for sentence in image.sentences}
    ids = dataset.caption_ids.tolist()
    if strangers := [caption_id for caption_id in ids if caption_id not in by_id]:
        raise DataError(
            f"{len(strangers)} captions of {dataset.name} are not in {json_file}, the first is {strangers[0]}: "
            "give the scenes.json that the captions are from"
        )
    return [by_id[caption_id] for caption_id in ids]


def _matrix(pairs: Iterator[tuple[int, int]], row_of: Mapping[int, int], captions: int) -> NDArray[np.bool_]:
    """[N, M], true at the pairs of an image id and a caption's column; images that have no row are left out."""
    matrix = np.zeros((len(row_of), captions), np.bool_)
    places = [(row_of[image], column) for image, column in pairs if image in row_of]
    matrix[tuple(np.array(places, np.int64).reshape(-1, 2).T)] = True
    return matrix
