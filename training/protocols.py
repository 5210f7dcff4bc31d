"""What is measured of a model on a data set, by name: each protocol takes one similarity matrix to named figures."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from model.errors import ConfigError, DataError
from training.data.coco import CocoTruth, Direction, Ids, judged_queries, load_coco_truth, locate_in_dataset
from training.data.dataset import ImageTextDataset
from training.metrics import binding_metrics, five_fold_metrics, multi_positive_metrics, recalls, retrieval_metrics
from training.metrics.retrieval import Scores, first_positive_ranks
from training.scenes.truth import load_scene_truth

COCO_TEST_IMAGES = 5000

Protocol = Callable[[Scores, ImageTextDataset, Path], dict[str, float]]


def evaluate_protocol(name: str, similarity: Scores, dataset: ImageTextDataset, data_file: Path) -> dict[str, float]:
    """The figures of one of PROTOCOLS for `similarity` [N, M] of the images and captions of `dataset`.

    `data_file` is what the dataset was read from. Raises ConfigError for a name that is not one of them, and
    DataError for similarities that are not finite and for data that the protocol is not about.

    - standard: recalls both ways, median ranks and rSum, each caption with its labelled image alone.
    - scenes: every image for which a caption holds is a positive: mAP@R, R-Precision and recalls both ways, and
      binding accuracy. For the files of `aahr data scenes`.
    - coco-1k, coco-5k: `standard` on COCO's 5,000 test images, as the mean of five folds of 1,000 and at once.
    - eccv-caption: ECCV Caption's mAP@R, R-Precision and R@1 and CxC's recalls, both ways, on COCO's test split.
    """
    check_protocol(name)
    if not np.isfinite(similarity).all():
        raise DataError(f"similarities of {dataset.name} are not finite: the model's embeddings are broken")
    return PROTOCOLS[name](similarity, dataset, data_file)


def check_protocol(name: str) -> None:
    """Raise ConfigError for a name that is not a protocol."""
    if name not in PROTOCOLS:
        raise ConfigError(f"there is no protocol '{name}'; choose one of {', '.join(PROTOCOLS)}")


def _standard(similarity: Scores, dataset: ImageTextDataset, _: Path) -> dict[str, float]:
    return retrieval_metrics(similarity, dataset.image_of_caption)


def _scenes(similarity: Scores, dataset: ImageTextDataset, data_file: Path) -> dict[str, float]:
    truth = load_scene_truth(data_file, dataset)
    return {
        **_named("image_to_text", multi_positive_metrics(similarity, truth.holds)),
        **_named("text_to_image", multi_positive_metrics(similarity.T, truth.holds.T)),
        **binding_metrics(similarity, truth.holders, truth.soft_negatives),
    }


def _coco_5k(similarity: Scores, dataset: ImageTextDataset, _: Path) -> dict[str, float]:
    _require_coco_test(dataset)
    return retrieval_metrics(similarity, dataset.image_of_caption)


def _coco_1k(similarity: Scores, dataset: ImageTextDataset, _: Path) -> dict[str, float]:
    _require_coco_test(dataset)
    return five_fold_metrics(similarity, dataset.image_of_caption)


def _eccv_caption(similarity: Scores, dataset: ImageTextDataset, _: Path) -> dict[str, float]:
    truth = load_coco_truth()
    rows = locate_in_dataset(truth, dataset)
    scores = similarity[np.ix_(rows.image_rows, rows.caption_rows)]  # [5000, 25000]
    return {
        **_judged("image_to_text", scores, rows.image_ids, rows.caption_ids, truth),
        **_judged("text_to_image", scores.T, rows.caption_ids, rows.image_ids, truth),
    }


def _judged(direction: Direction, scores: Scores, queries: Ids, gallery: Ids, truth: CocoTruth) -> dict[str, float]:
    """ECCV Caption and CxC in one direction: scores [queries, gallery], with the ids of both."""
    eccv = judged_queries(truth.eccv[direction], queries, gallery)
    cxc = judged_queries(truth.cxc[direction], queries, gallery)
    return {
        **_named(f"eccv_{direction}", multi_positive_metrics(scores[eccv.rows], eccv.relevant, eccv.positives)),
        **_named(f"cxc_{direction}", recalls(first_positive_ranks(scores[cxc.rows], cxc.relevant))),
    }


def _named(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in metrics.items()}


def _require_coco_test(dataset: ImageTextDataset) -> None:
    if len(dataset) != COCO_TEST_IMAGES:
        raise DataError(
            f"COCO 1K and 5K are measured on the {COCO_TEST_IMAGES} images of COCO's test split, "
            f"{dataset.name} has {len(dataset)}: choose protocol standard, or give Karpathy's dataset_coco.json"
        )


PROTOCOLS: dict[str, Protocol] = {
    "standard": _standard,
    "scenes": _scenes,
    "coco-1k": _coco_1k,
    "coco-5k": _coco_5k,
    "eccv-caption": _eccv_caption,
}
