"""COCO 1K and 5K, ECCV Caption and CxC equal the figures of the package `eccv-caption`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.training.coco_reference import SHORT, cut_to, dataset_of, package_figures, package_metrics, ranked_ids
from training import protocols
from training.data.coco import CocoTruth, load_coco_truth
from training.data.dataset import ImageTextDataset
from training.metrics import five_fold_metrics, retrieval_metrics

IMAGES = 250
NO_FILE = Path("not-read.json")


@pytest.fixture(scope="module")
def truth() -> CocoTruth:
    return load_coco_truth()


@pytest.fixture
def package() -> Any:
    return package_metrics()


def coco_images(truth: CocoTruth, dataset: ImageTextDataset) -> NDArray[np.int64]:
    """COCO's id of each image of the dataset."""
    ids = np.zeros(len(dataset), np.int64)
    ids[dataset.image_of_caption] = [truth.image_of[caption] for caption in dataset.caption_ids.tolist()]
    return ids


def random_scores(images: int, captions: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(images, captions))


def structured_scores(truth: CocoTruth, dataset: ImageTextDataset, seed: int) -> NDArray[np.float64]:
    """Cosines of embeddings near the label, with the soft positives of both grounds truths raised by chance."""
    generator = np.random.default_rng(seed)
    images = generator.normal(size=(len(dataset), 32))
    texts = images[dataset.image_of_caption] + 1.5 * generator.normal(size=(len(dataset.captions), 32))
    images, texts = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (images, texts))
    scores: NDArray[np.float64] = images @ texts.T
    row_of = {image: row for row, image in enumerate(coco_images(truth, dataset).tolist())}
    for column, caption in enumerate(dataset.caption_ids.tolist()):
        soft = [*truth.eccv["text_to_image"].get(caption, ()), *truth.cxc["text_to_image"].get(caption, ())]
        for row in {row_of[image] for image in soft if image in row_of}:
            scores[row, column] += generator.exponential(0.2)
    return scores


def cut_package(package: Any, truth: CocoTruth, dataset: ImageTextDataset) -> None:
    """The package's ground truth with the queries of the dataset alone."""
    for way, direction in SHORT.items():
        package.eccv_gts[way] = truth.eccv[direction]
        package.cxc_gts[way] = truth.cxc[direction]
    images, captions = set(truth.image_of.values()), set(truth.image_of)
    package.coco_gts = {
        "i2t": {image: found for image, found in package.coco_gts["i2t"].items() if image in images},
        "t2i": {caption: found for caption, found in package.coco_gts["t2i"].items() if caption in captions},
    }
    package.coco_ids = dataset.caption_ids


@pytest.fixture
def part(truth: CocoTruth, package: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[CocoTruth, ImageTextDataset]:
    """The first images of the test split, for our code and for the package."""
    caption_ids = package.coco_ids[: 5 * IMAGES]
    small = cut_to(truth, {truth.image_of[caption] for caption in caption_ids.tolist()})
    dataset = dataset_of(truth.image_of, caption_ids)
    cut_package(package, small, dataset)
    monkeypatch.setattr(protocols, "load_coco_truth", lambda: small)
    return small, dataset


def scores_of(kind: str, truth: CocoTruth, dataset: ImageTextDataset) -> NDArray[np.float64]:
    if kind == "random":
        return random_scores(len(dataset), len(dataset.captions), seed=1)
    return structured_scores(truth, dataset, seed=2)


@pytest.mark.parametrize("kind", ["random", "structured"])
def test_eccv_caption_and_cxc_equal_the_package(
    kind: str, package: Any, part: tuple[CocoTruth, ImageTextDataset]
) -> None:
    truth, dataset = part
    similarity = scores_of(kind, truth, dataset)
    ours = protocols.evaluate_protocol("eccv-caption", similarity, dataset, NO_FILE)
    expected = package_figures(package, similarity, coco_images(truth, dataset), dataset.caption_ids)
    assert ours == pytest.approx(expected, abs=1e-6)
    assert len(ours) == 16


@pytest.mark.parametrize("kind", ["random", "structured"])
def test_five_folds_and_the_whole_equal_the_package(
    kind: str, package: Any, part: tuple[CocoTruth, ImageTextDataset]
) -> None:
    truth, dataset = part
    similarity = scores_of(kind, truth, dataset)
    images, captions = coco_images(truth, dataset), dataset.caption_ids
    ranked = {
        "i2t": ranked_ids(similarity, images, captions, len(captions)),
        "t2i": ranked_ids(similarity.T, captions, images, len(images)),
    }
    whole = retrieval_metrics(similarity, dataset.image_of_caption)
    folds = five_fold_metrics(similarity, dataset.image_of_caption)
    for depth in (1, 5, 10):
        for ours, expected in (
            (whole, package.coco_5k_recalls(ranked, "all", K=depth)),
            (folds, package.coco_1k_recalls(ranked, "all", K=depth)),
        ):
            for way, value in expected.items():
                assert ours[f"{SHORT[way]}_r@{depth}"] == pytest.approx(100 * value, abs=1e-6)


def test_order_of_the_data_and_captions_that_nobody_judged_change_nothing(
    part: tuple[CocoTruth, ImageTextDataset],
) -> None:
    truth, dataset = part
    similarity = structured_scores(truth, dataset, seed=3)
    expected = protocols.evaluate_protocol("eccv-caption", similarity, dataset, NO_FILE)
    generator = np.random.default_rng(4)
    images, captions = generator.permutation(len(dataset)), generator.permutation(len(dataset.captions))
    shuffled = ImageTextDataset(
        name="shuffled",
        image_paths=dataset.image_paths,
        image_ids=dataset.image_ids,
        captions=("a caption",) * (len(captions) + 2),
        caption_ids=np.append(dataset.caption_ids[captions], [10**9, 10**9 + 1]),
        image_of_caption=np.append(np.argsort(images)[dataset.image_of_caption[captions]], [0, 3]),
    )
    sixth = np.full((len(images), 2), 9.0)
    scores = np.hstack([similarity[np.ix_(images, captions)], sixth])
    assert protocols.evaluate_protocol("eccv-caption", scores, shuffled, NO_FILE) == pytest.approx(expected)


@pytest.mark.nightly
def test_the_whole_test_split_equals_the_package(truth: CocoTruth, package: Any) -> None:
    dataset = dataset_of(truth.image_of, package.coco_ids)
    similarity = np.random.default_rng(5).standard_normal(size=(5000, 25000), dtype=np.float32)
    similarity[dataset.image_of_caption, np.arange(25000)] += 3
    ours = protocols.evaluate_protocol("eccv-caption", similarity, dataset, NO_FILE)
    expected = package_figures(package, similarity, coco_images(truth, dataset), dataset.caption_ids)
    assert ours == pytest.approx(expected, abs=1e-6)
