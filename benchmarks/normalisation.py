"""Claim: penalising hubs (`model.hubness`) finds more with the same embeddings, and 64 candidates are enough for it.

    python benchmarks/normalisation.py var/mini

Flickr8k's val split. The bank is of the train split, or of the gallery itself: then two of the five captions of each
image are in the gallery, and the other three are what is searched with, so that no query is in a bank.
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from places import CACHE, FLICKR8K

from model.hubness import WEIGHT, hubness, spread
from training.data.dataset import ImageTextDataset
from training.data.karpathy import load_karpathy
from training.evaluate import open_embedder
from training.metrics import recalls, retrieval_metrics
from training.metrics.retrieval import text_to_image_ranks

Floats = NDArray[np.float32]
IN_GALLERY = 2


def main(
    model: Annotated[Path, typer.Argument(help="Checkpoint or exported model.")],
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones.")] = CACHE,
) -> None:
    """Print three tables."""
    val, train = (
        load_karpathy(FLICKR8K / "dataset_flickr8k.json", FLICKR8K / "images", split) for split in ("val", "train")
    )
    with closing(open_embedder(model, cache)) as embedder:
        images, texts = embedder.images(val.image_paths), embedder.texts(val.captions)
        bank_images = embedder.images([train.image_paths[row] for row in spread(len(train))])
        bank_texts = embedder.texts([train.captions[row] for row in spread(len(train.captions))])
    by_train = hubness(images, bank_texts)[:, None] + hubness(texts, bank_images)[None]
    by_weight(images @ texts.T, by_train, val)
    by_own_gallery(images, texts, val)
    by_candidates(images @ texts.T, hubness(images, bank_texts), val)


def by_weight(scores: Floats, hubs: Floats, val: ImageTextDataset) -> None:
    """rSum by the share that is taken off, the bank of the train split."""
    print("| bank of train, weight | rSum |\n|---:|---:|")
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        found = retrieval_metrics(scores - np.float32(weight) * hubs, val.image_of_caption)
        print(f"| {weight} | {found['rsum']:.1f} |")


def by_own_gallery(images: Floats, texts: Floats, val: ImageTextDataset) -> None:
    """Text to image, R@1 + R@5 + R@10, by captions of the gallery: with and without an image's own in the bank."""
    order = np.concatenate([np.flatnonzero(val.image_of_caption == row) for row in range(len(val))])
    place = np.arange(len(order)) % 5
    held, asked = order[place < IN_GALLERY], order[place >= IN_GALLERY]
    rows = held[spread(len(held))]
    of_image = val.image_of_caption
    own = hubness(images, texts[rows])
    others = hubness(images, texts[rows], np.arange(len(images)), of_image[rows])
    print("\n| text to image, bank | weight | R@1 + R@5 + R@10 |\n|---|---:|---:|")
    for name, hubs in (("own captions too", own), ("other images' captions", others)):
        for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
            scores = images @ texts[asked].T - np.float32(weight) * hubs[:, None]
            print(f"| {name} | {weight} | {_sum(text_to_image_ranks(scores, of_image[asked])):.1f} |")


def by_candidates(scores: Floats, hubs: Floats, val: ImageTextDataset) -> None:
    """The same sum when only the first by the cosine are ranked."""
    print("\n| candidates | R@1 + R@5 + R@10 |\n|---:|---:|")
    ranked = scores - np.float32(WEIGHT) * hubs[:, None]
    for count in (16, 32, 64, 128, len(val)):
        lowest = np.partition(scores, -count, axis=0)[-count]
        kept = np.where(scores >= lowest, ranked, ranked - 10)
        print(f"| {count} | {_sum(text_to_image_ranks(kept, val.image_of_caption)):.1f} |")


def _sum(ranks: NDArray[np.int64]) -> float:
    found: Iterable[float] = recalls(ranks).values()
    return float(sum(found))


if __name__ == "__main__":
    typer.run(main)
