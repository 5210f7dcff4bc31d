"""COCO's ground truth from the package, and the data that it does not fit."""

import re
from dataclasses import replace

import numpy as np
import pytest

from model.errors import DataError
from tests.unit.training.coco_reference import dataset_of
from training.data import coco
from training.data.coco import CocoTruth, judged_queries, load_coco_truth, locate_in_dataset

NOTHING: dict[coco.Direction, coco.Positives] = {"image_to_text": {}, "text_to_image": {}}
# Three images with two captions each.
SMALL = CocoTruth({10: 7, 11: 7, 20: 8, 21: 8, 30: 9, 31: 9}, NOTHING, NOTHING)


def test_truth_has_the_size_that_its_authors_give() -> None:
    truth = load_coco_truth()
    assert len(truth.image_of) == 25000
    assert list(truth.image_of)[:5] == [770337, 771687, 772707, 776154, 781998]
    assert len(set(truth.image_of.values())) == 5000
    counted = {way: (len(judged), sum(map(len, judged.values()))) for way, judged in truth.eccv.items()}
    assert counted == {"image_to_text": (1261, 22550), "text_to_image": (1332, 11279)}
    assert {way: len(judged) for way, judged in truth.cxc.items()} == {"image_to_text": 5000, "text_to_image": 24972}


def test_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "PACKAGE", "eccv-caption-that-nobody-installed")
    with pytest.raises(DataError, match="is not installed: pip install eccv-caption"):
        load_coco_truth()
    monkeypatch.undo()
    assert load_coco_truth().image_of


def test_rows_are_found_by_annotation_ids() -> None:
    dataset = dataset_of({**SMALL.image_of, 22: 8}, np.array([20, 22, 21, 10, 11, 31, 30]))
    rows = locate_in_dataset(SMALL, dataset)
    assert rows.caption_rows.tolist() == [0, 2, 3, 4, 5, 6]
    assert rows.caption_ids.tolist() == [20, 21, 10, 11, 31, 30]
    assert rows.image_rows.tolist() == [0, 1, 2]
    assert rows.image_ids.tolist() == [8, 7, 9]


def test_captions_that_are_only_counted_stand_in_the_order_of_the_split() -> None:
    """As SCAN's files have them."""
    dataset = replace(dataset_of(SMALL.image_of, np.array(list(SMALL.image_of))), caption_ids=np.arange(6))
    rows = locate_in_dataset(SMALL, dataset)
    assert rows.caption_ids.tolist() == [10, 11, 20, 21, 30, 31]
    assert rows.image_ids.tolist() == [7, 8, 9]
    with pytest.raises(DataError, match="6 of 6 captions"):
        locate_in_dataset(SMALL, dataset.subset(np.array([0, 1])))


def test_data_without_the_judged_captions_is_refused() -> None:
    dataset = dataset_of(SMALL.image_of, np.array([10, 11, 20, 30, 31]))
    with pytest.raises(DataError, match=re.escape("1 of 6 captions of COCO's test split are not in coco test, the")):
        locate_in_dataset(SMALL, dataset)


def test_captions_under_another_image_are_refused() -> None:
    dataset = dataset_of(SMALL.image_of, np.array([10, 11, 20, 21, 30, 31]))
    mixed = replace(dataset, image_of_caption=np.array([0, 0, 1, 2, 1, 2]))
    with pytest.raises(DataError, match="caption 30 of coco test belongs to another image"):
        locate_in_dataset(SMALL, mixed)


def test_judged_queries_count_what_the_gallery_lacks() -> None:
    queries = judged_queries({1: [5, 6], 2: [9, 6], 4: [5]}, np.array([3, 2, 1]), np.array([6, 5]))
    assert queries.rows.tolist() == [1, 2]
    assert queries.relevant.tolist() == [[True, False], [True, True]]
    assert queries.positives.tolist() == [2, 2]
