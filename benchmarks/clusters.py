"""Claim: what the prototypes have learnt can be read: the captions of val that lie nearest to ten of them.

    python benchmarks/clusters.py runs/ablation/InfoNCE/aahr-0 --json clusters.json --figure docs/clusters.svg

The ten are drawn at random, not picked. The run must have ended: its last checkpoint holds the prototypes.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from places import CACHE, FLICKR8K

from training.checkpoint import load_state
from training.data.karpathy import load_karpathy
from training.evaluate import open_embedder
from training.train import LAST

SHOWN, CAPTIONS = 10, 4
PROTOTYPES = "prototypes.directions"


def main(
    run: Annotated[Path, typer.Argument(help="Directory of a run with prototypes.")],
    json_file: Annotated[Path, typer.Option("--json", help="Where the captions go.")],
    figure: Annotated[Path | None, typer.Option(help="Where an SVG of them goes.")] = None,
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones.")] = CACHE,
) -> None:
    """Write the nearest captions, each of another image, of ten prototypes."""
    directions = F.normalize(load_state(run / LAST)["trainer"]["objective"][PROTOTYPES].float(), dim=-1).numpy()
    dataset = load_karpathy(FLICKR8K / "dataset_flickr8k.json", FLICKR8K / "images", "val")
    scores = open_embedder(run / LAST, cache).texts(dataset.captions) @ directions.T  # [M, K]
    drawn = np.sort(np.random.default_rng(0).permutation(len(directions))[:SHOWN])
    found = {int(row): nearest(scores[:, row], dataset.captions, dataset.image_of_caption) for row in drawn}
    json_file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if figure is not None:
        plot(found, figure)


def nearest(scores: NDArray[np.float32], captions: tuple[str, ...], image_of_caption: NDArray[np.int64]) -> list[str]:
    """The captions with the highest scores [M], one an image."""
    order = np.argsort(-scores)
    _, first = np.unique(image_of_caption[order], return_index=True)
    return [captions[row] for row in order[np.sort(first)[:CAPTIONS]]]


def plot(found: dict[int, list[str]], file: Path) -> None:
    """An SVG with a block of captions for each prototype."""
    lines = [(number, caption) for number, captions in found.items() for caption in captions]
    drawing = Figure(figsize=(10, 0.2 * len(lines) + 0.3))
    for place, (number, caption) in enumerate(lines):
        height = 1 - (place + 0.7) / len(lines)
        first = place % CAPTIONS == 0
        drawing.text(0.01, height, f"prototype {number}" if first else "", fontsize=9, weight="bold")
        drawing.text(0.14, height, caption if len(caption) < 110 else f"{caption[:109]}…", fontsize=9)
    with rc_context({"svg.hashsalt": "aahr", "svg.fonttype": "none"}):  # equal figures give equal files
        drawing.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
