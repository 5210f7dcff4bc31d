"""Protocols by name, and data that they are not about."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import ConfigError, DataError
from training.data.dataset import ImageTextDataset
from training.data.karpathy import load_karpathy
from training.metrics import retrieval_metrics
from training.protocols import COCO_TEST_IMAGES, PROTOCOLS, evaluate_protocol
from training.scenes import write_scenes
from training.scenes.truth import load_scene_truth

DIRECTIONS = ("image_to_text", "text_to_image")
MEASURES = ("map@r", "r_precision", "r@1", "r@5", "r@10")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, count=80, seed=3)
    return folder / "scenes.json"


@pytest.fixture
def dataset(scenes: Path) -> ImageTextDataset:
    return load_karpathy(scenes, scenes.parent / "images", "test")


def random_scores(dataset: ImageTextDataset) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(len(dataset), len(dataset.captions)))


def toy(images: int) -> ImageTextDataset:
    rows = np.arange(images)
    return ImageTextDataset("toy", (Path("toy.jpg"),) * images, rows, ("a toy",) * images, rows, rows)


def test_standard_is_what_evaluation_always_gave(scenes: Path, dataset: ImageTextDataset) -> None:
    scores = random_scores(dataset)
    assert evaluate_protocol("standard", scores, dataset, scenes) == retrieval_metrics(scores, dataset.image_of_caption)


def test_scenes_gives_both_ways_and_binding(scenes: Path, dataset: ImageTextDataset) -> None:
    metrics = evaluate_protocol("scenes", random_scores(dataset), dataset, scenes)
    ranked = [f"{direction}_{measure}" for direction in DIRECTIONS for measure in MEASURES]
    assert list(metrics)[:10] == ranked
    assert list(metrics)[10:12] == ["binding_accuracy", "binding_pairs"]
    assert all(0 <= value <= 100 for value in metrics.values())


def test_scores_that_say_what_holds_are_perfect_on_scenes(scenes: Path, dataset: ImageTextDataset) -> None:
    truth = load_scene_truth(scenes, dataset)
    metrics = evaluate_protocol("scenes", truth.holds.astype(np.float32), dataset, scenes)
    assert set(metrics.values()) == {100.0}


def test_coco_protocols_run_on_the_whole_test_split_alone(scenes: Path) -> None:
    small = toy(COCO_TEST_IMAGES - 1)
    for name in ("coco-1k", "coco-5k"):
        with pytest.raises(DataError, match="measured on the 5000 images of COCO's test split, toy has 4999"):
            evaluate_protocol(name, np.zeros((1, 1)), small, scenes)
    whole = toy(COCO_TEST_IMAGES)
    perfect = np.eye(COCO_TEST_IMAGES, dtype=np.float32)
    perfect[0, 4000] = 2.0
    assert evaluate_protocol("coco-1k", perfect, whole, scenes)["rsum"] == 600.0
    assert evaluate_protocol("coco-5k", perfect, whole, scenes)["image_to_text_r@1"] == 99.98


def test_eccv_caption_needs_ids_of_coco(scenes: Path, dataset: ImageTextDataset) -> None:
    with pytest.raises(DataError, match="of 25000 captions of COCO's test split are not in scenes test"):
        evaluate_protocol("eccv-caption", random_scores(dataset), dataset, scenes)


def test_unknown_protocol_is_answered_with_the_known_ones(scenes: Path, dataset: ImageTextDataset) -> None:
    with pytest.raises(ConfigError, match=f"no protocol 'karpathy'; choose one of {', '.join(PROTOCOLS)}"):
        evaluate_protocol("karpathy", random_scores(dataset), dataset, scenes)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_embeddings_do_not_count_as_perfect(scenes: Path, dataset: ImageTextDataset, broken: float) -> None:
    scores = random_scores(dataset)
    scores[2, 3] = broken
    with pytest.raises(DataError, match="similarities of scenes test are not finite"):
        evaluate_protocol("standard", scores, dataset, scenes)
