"""COCO's test split as the package `eccv-caption` has it, and that package's own figures to compare with."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.coco import CocoTruth, Direction, Positives
from training.data.dataset import ImageTextDataset

MOST_POSITIVES = 48
SHORT = {"i2t": "image_to_text", "t2i": "text_to_image"}


def package_metrics() -> Any:
    """The package's `Metrics`. Importing it warns of packages that it would like to have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from eccv_caption import Metrics

        return Metrics()


def dataset_of(image_of: Mapping[int, int], caption_ids: NDArray[np.int64]) -> ImageTextDataset:
    """As Karpathy's reader gives it: caption ids are COCO's, image ids are not; images stand as their captions do."""
    coco_images = list(dict.fromkeys(image_of[caption] for caption in caption_ids.tolist()))
    row_of = {image: row for row, image in enumerate(coco_images)}
    return ImageTextDataset(
        name="coco test",
        image_paths=tuple(Path(f"COCO_val2014_{image:012d}.jpg") for image in coco_images),
        image_ids=np.arange(len(coco_images)),
        captions=("a caption",) * len(caption_ids),
        caption_ids=caption_ids,
        image_of_caption=np.array([row_of[image_of[caption]] for caption in caption_ids.tolist()]),
    )


def cut_to(truth: CocoTruth, coco_images: set[int]) -> CocoTruth:
    """The same with the queries of some images alone; what is right for them is not cut."""
    image_of = {caption: image for caption, image in truth.image_of.items() if image in coco_images}

    def cut(judged: Mapping[Direction, Positives]) -> dict[Direction, Positives]:
        queries: dict[Direction, Iterable[int]] = {"image_to_text": coco_images, "text_to_image": image_of}
        return {way: {query: judged[way][query] for query in of if query in judged[way]} for way, of in queries.items()}

    return CocoTruth(image_of, cut(truth.eccv), cut(truth.cxc))


def package_figures(
    metrics: Any, similarity: NDArray[Any], image_ids: NDArray[np.int64], caption_ids: NDArray[np.int64]
) -> dict[str, float]:
    """ECCV Caption and CxC by the package, with this project's names, on 0-100."""
    ranked = {
        "i2t": ranked_ids(similarity, image_ids, caption_ids, MOST_POSITIVES),
        "t2i": ranked_ids(similarity.T, caption_ids, image_ids, MOST_POSITIVES),
    }
    names = {"eccv_map_at_r": "map@r", "eccv_rprecision": "r_precision"}
    figures: dict[str, float] = {}
    for name, values in metrics.eccv_metrics(ranked, "all").items():
        if name in names:
            figures |= {f"eccv_{SHORT[way]}_{names[name]}": 100 * value for way, value in values.items()}
    for depth in (1, 5, 10):
        for kind, measure in (("eccv", metrics.eccv_recalls), ("cxc", metrics.cxc_recalls)):
            values = measure(ranked, "all", K=depth)
            figures |= {f"{kind}_{SHORT[way]}_r@{depth}": 100 * value for way, value in values.items()}
    return figures


def ranked_ids(
    similarity: NDArray[Any], query_ids: NDArray[np.int64], gallery_ids: NDArray[np.int64], depth: int
) -> dict[int, list[int]]:
    """Per query, the ids of the best items of the gallery, best first: what the package takes."""
    ranked = {}
    for query, scores in zip(query_ids.tolist(), similarity, strict=True):
        best = np.argpartition(-scores, min(depth, len(scores) - 1))[:depth]
        ranked[query] = gallery_ids[best[np.argsort(-scores[best])]].tolist()
    return ranked
