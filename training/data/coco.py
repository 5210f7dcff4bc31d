"""Which captions and images of COCO's test split belong together, from the files of the package `eccv-caption`.

ECCV Caption (Chun et al., ECCV 2022) and Crisscrossed Captions (Parekh et al., EACL 2021) have people say which
unlabelled pairs are right too. Only the data of the package is read: importing it warns of what it would like to have.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from training.data.dataset import ImageTextDataset

PACKAGE = "eccv-caption"

Direction = Literal["image_to_text", "text_to_image"]
Ids = NDArray[np.int64]
# Per query, the ids of what is right for it.
Positives = Mapping[int, Sequence[int]]


@dataclass(frozen=True, eq=False)
class CocoTruth:
    """COCO's test split as the package has it: 5,000 images, each with its first five captions.

    Attributes:
        image_of: COCO's image id of each caption, by COCO's annotation id, in the order of the split.
        eccv: 1,261 images and 1,332 captions as queries. Its two directions do not mirror each other.
        cxc: all images and nearly all captions as queries.
    """

    image_of: Mapping[int, int]
    eccv: Mapping[Direction, Positives]
    cxc: Mapping[Direction, Positives]


@dataclass(frozen=True, eq=False)
class CocoRows:
    """Where the 25,000 captions and 5,000 images of the ground truth stand in a dataset."""

    image_rows: Ids  # [5000]
    image_ids: Ids  # [5000], COCO's
    caption_rows: Ids  # [25000]
    caption_ids: Ids  # [25000], COCO's


@dataclass(frozen=True, eq=False)
class JudgedQueries:
    """The Q queries of a ground truth, against a gallery.

    Attributes:
        rows: of the queries among those asked for, [Q].
        relevant: [Q, items of the gallery].
        positives: how many each query has, the two captions of ECCV Caption that no gallery has included, [Q].
    """

    rows: Ids
    relevant: NDArray[np.bool_]
    positives: Ids


def load_coco_truth() -> CocoTruth:
    """Read the files of the installed package. Raises DataError that names it where it is missing or incomplete."""
    try:
        folder = Path(str(distribution(PACKAGE).locate_file("eccv_caption/data")))
        order = np.load(folder / "coco_test_ids.npy").tolist()
        images_of = _positives(folder / "original_caption_to_image.json")
        return CocoTruth(
            image_of={caption: images_of[caption][0] for caption in order},
            eccv=_both_ways(folder, "eccv"),
            cxc=_both_ways(folder, "cxc"),
        )
    except (PackageNotFoundError, OSError) as error:
        raise DataError(
            f"the ground truth of ECCV Caption and CxC is not installed: pip install {PACKAGE} (the extra `coco`)"
        ) from error


def locate_in_dataset(truth: CocoTruth, dataset: ImageTextDataset) -> CocoRows:
    """Match a dataset whose caption ids are COCO's annotation ids, as `sentid` in Karpathy's file is.

    SCAN's files have no ids of captions; a dataset that counts as many captions as the split has is taken to be in its
    order, as the authors of AAHR do with SCAN's "testall". Captions beyond an image's first five, which the ground
    truth does not judge, are left out. Raises DataError where a judged caption is missing, or where the captions of one
    image are of several images of COCO.
    """
    in_order = np.array(list(truth.image_of))
    ids = in_order if np.array_equal(dataset.caption_ids, np.arange(len(in_order))) else dataset.caption_ids
    if (missing := in_order[~np.isin(in_order, ids)]).size:
        raise DataError(
            f"{missing.size} of {in_order.size} captions of COCO's test split are not in {dataset.name}, the first is "
            f"{missing[0]}: give split test of Karpathy's dataset_coco.json, or SCAN's files of all 5,000 images"
        )
    caption_rows = np.flatnonzero(np.isin(ids, in_order))
    caption_ids = ids[caption_rows]
    coco_image = np.array([truth.image_of[caption] for caption in caption_ids.tolist()])
    own_rows = dataset.image_of_caption[caption_rows]
    image_rows, first = np.unique(own_rows, return_index=True)
    image_ids = coco_image[first]
    if (stray := np.flatnonzero(image_ids[np.searchsorted(image_rows, own_rows)] != coco_image)).size:
        raise DataError(
            f"caption {caption_ids[stray[0]]} of {dataset.name} belongs to another image than in COCO's test split, "
            f"{coco_image[stray[0]]}: give split test of Karpathy's dataset_coco.json"
        )
    return CocoRows(image_rows, image_ids, caption_rows, caption_ids)


def judged_queries(positives: Positives, query_ids: Ids, gallery_ids: Ids) -> JudgedQueries:
    """The judged ones of the queries, with their positives in the gallery as a matrix."""
    rows = np.array([row for row, query in enumerate(query_ids.tolist()) if query in positives])
    relevant = np.zeros((len(rows), len(gallery_ids)), np.bool_)
    column_of = {item: column for column, item in enumerate(gallery_ids.tolist())}
    right = [positives[query] for query in query_ids[rows].tolist()]
    for row, items in enumerate(right):
        relevant[row, [column_of[item] for item in items if item in column_of]] = True
    return JudgedQueries(rows, relevant, np.array([len(set(items)) for items in right]))


def _both_ways(folder: Path, name: str) -> dict[Direction, Positives]:
    return {
        "image_to_text": _positives(folder / f"{name}_image_to_caption.json"),
        "text_to_image": _positives(folder / f"{name}_caption_to_image.json"),
    }


def _positives(file: Path) -> Positives:
    return {int(query): items for query, items in json.loads(file.read_text(encoding="utf-8")).items()}
