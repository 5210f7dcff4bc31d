"""Claim: a gallery whose images are averages of two views is searched better, and penalising hubs adds to it.

    python benchmarks/views.py var/mini

Flickr8k's val split by an exported model; `aahr index rebuild --views 2` embeds as is done here.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from places import FLICKR8K

from index.embedding.encoder import Encoder
from model.artifact import load_model_artifact
from model.hubness import WEIGHT, hubness, spread
from model.preprocess import decode_image
from training.data.karpathy import load_karpathy
from training.metrics import retrieval_metrics


def main(model: Annotated[Path, typer.Argument(help="Exported model.")]) -> None:
    """Print a table of rSum, by the number of views, with and without hubs penalised."""
    val, train = (
        load_karpathy(FLICKR8K / "dataset_flickr8k.json", FLICKR8K / "images", split) for split in ("val", "train")
    )
    bank_images, bank_texts = ([each[row] for row in spread(len(each))] for each in (train.image_paths, train.captions))
    artifact = load_model_artifact(model)
    print("| views | rSum | hubs ranked lower |\n|---:|---:|---:|")
    for views in (1, 2):
        encoder = Encoder(artifact, views)
        images, texts = embedded(encoder, val.image_paths), encoder.texts(val.captions)
        hubs = (
            hubness(images, encoder.texts(bank_texts))[:, None] + hubness(texts, embedded(encoder, bank_images))[None]
        )
        scores = images @ texts.T
        plain, ranked = (
            retrieval_metrics(each, val.image_of_caption)["rsum"]
            for each in (scores, scores - np.float32(WEIGHT) * hubs)
        )
        print(f"| {views} | {plain:.1f} | {ranked:.1f} |")


def embedded(encoder: Encoder, paths: list[Path] | tuple[Path, ...]) -> NDArray[np.float32]:
    """Embeddings [N, D] of image files, as a rebuild makes them."""
    found = []
    for start in range(0, len(paths), encoder.image_chunk):
        pixels = [encoder.prepare(decode_image(path)) for path in paths[start : start + encoder.image_chunk]]
        found.append(encoder.images(pixels, [None] * len(pixels)))
    return np.concatenate(found)


if __name__ == "__main__":
    typer.run(main)
