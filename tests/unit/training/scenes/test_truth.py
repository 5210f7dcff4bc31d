"""The matrices of a split equal what `scenes.json` says caption by caption."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.errors import DataError
from training.data.dataset import ImageTextDataset
from training.data.karpathy import load_karpathy
from training.scenes.truth import load_scene_truth


@pytest.fixture
def dataset(scenes_folder: Path) -> ImageTextDataset:
    return load_karpathy(scenes_folder / "scenes.json", scenes_folder / "images", "test")


def test_matrices_say_what_the_file_says(
    scenes_folder: Path, dataset: ImageTextDataset, images: list[dict[str, Any]], sentences: list[dict[str, Any]]
) -> None:
    truth = load_scene_truth(scenes_folder / "scenes.json", dataset)
    assert set(truth.soft_negatives) == {"attribute", "relation"}
    for row, image_id in enumerate(dataset.image_ids.tolist()):
        for column, caption_id in enumerate(dataset.caption_ids.tolist()):
            sentence = sentences[caption_id]
            holds = image_id in sentence["holds"]
            related = images[image_id]["family"] == images[sentence["imgid"]]["family"]
            assert truth.holds[row, column] == holds
            assert truth.holders[row, column] == (holds and related)
            for swap, negatives in truth.soft_negatives.items():
                assert negatives[row, column] == ({"imgid": image_id, "swap": swap} in sentence["soft_negatives"])


def test_a_family_is_its_holders_and_soft_negatives(scenes_folder: Path, dataset: ImageTextDataset) -> None:
    truth = load_scene_truth(scenes_folder / "scenes.json", dataset)
    parts = np.stack([truth.holders, *truth.soft_negatives.values()]).sum(axis=0)
    assert set(parts.ravel().tolist()) == {0, 1}
    assert set(parts.sum(axis=0).tolist()) == {4}
    assert truth.holders[dataset.image_of_caption, np.arange(len(dataset.captions))].all()


def test_file_without_truth_is_refused(tmp_path: Path, dataset: ImageTextDataset) -> None:
    file = tmp_path / "dataset.json"
    file.write_text(
        json.dumps(
            {"images": [{"filename": "a.jpg", "imgid": 0, "family": 0, "sentences": [{"raw": "a", "sentid": 0}]}]}
        )
    )
    with pytest.raises(
        DataError,
        match=r"images\[0\]\.sentences\[0\]\.holds: field required; give the scenes\.json of `aahr data scenes`",
    ):
        load_scene_truth(file, dataset)
    with pytest.raises(DataError, match="cannot be read"):
        load_scene_truth(tmp_path / "nothing.json", dataset)


def test_captions_of_another_file_are_refused(
    tmp_path: Path, dataset: ImageTextDataset, images: list[dict[str, Any]]
) -> None:
    file = tmp_path / "scenes.json"
    file.write_text(json.dumps({"images": images[:4]}))
    with pytest.raises(DataError, match="captions of scenes test are not in"):
        load_scene_truth(file, dataset)


def test_split_without_soft_negatives_is_refused(
    tmp_path: Path, dataset: ImageTextDataset, images: list[dict[str, Any]]
) -> None:
    unchallenged = [
        {**image, "sentences": [{**sentence, "soft_negatives": []} for sentence in image["sentences"]]}
        for image in images
    ]
    file = tmp_path / "scenes.json"
    file.write_text(json.dumps({"images": unchallenged}))
    with pytest.raises(DataError, match="no caption of scenes test has a soft negative"):
        load_scene_truth(file, dataset)
