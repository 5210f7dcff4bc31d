"""Claim: on drawn scenes, where every soft positive is known, the full model is ahead of `vse`; mean of seeds.

    python benchmarks/ambiguity.py --run mini=runs/quality/mini-0/best --run mini=runs/quality/mini-1/best \
        --run vse=runs/quality/vse-0/best --run vse=runs/quality/vse-1/best --json ambiguity.json

Runs of one name are the seeds of one recipe. Families of scenes share a split and a larger `--count` continues the same
list, so the test split of 2,000 scenes was not trained on by a recipe with 1,000 of the same seed. The row `random` is
what similarities by chance reach: images that hold for many captions, and captions with one soft negative, are easy.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer
from places import CACHE
from rich.console import Console
from rich.table import Column, Table

from training.config import DataConfig
from training.data.dataset import ImageTextDataset, Split
from training.data.karpathy import load_karpathy
from training.data.sources import drawn_scenes
from training.evaluate import open_embedder
from training.protocols import evaluate_protocol

RANDOM_MATRICES = 20
SHOWN = (
    "image_to_text_map@r",
    "text_to_image_map@r",
    "image_to_text_r_precision",
    "text_to_image_r_precision",
    "image_to_text_r@1",
    "text_to_image_r@1",
    "binding_accuracy",
    "binding_accuracy_attribute",
    "binding_accuracy_relation",
    "binding_pairs",
    "binding_pairs_attribute",
    "binding_pairs_relation",
)


def main(
    runs: Annotated[list[str], typer.Option("--run", help="NAME=CHECKPOINT; runs of one name are its seeds.")],
    json_file: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    count: Annotated[int, typer.Option(help="Scenes; a tenth of them is the test split.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the scenes: that of the training recipe.")] = 0,
    split: Annotated[str, typer.Option(help="test, or val where something is chosen by it.")] = "test",
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones, and drawn scenes.")] = CACHE,
) -> None:
    """Evaluate every checkpoint on one split of drawn scenes."""
    recipes = group_by_name(runs)
    scenes = drawn_scenes(DataConfig(format="scenes", count=count, seed=seed), cache) / "scenes.json"
    dataset = load_karpathy(scenes, scenes.parent / "images", cast(Split, split))
    rows = [summarise("random", chance(dataset, scenes))]
    for name, checkpoints in recipes.items():
        rows.append(summarise(name, [measure(checkpoint, dataset, scenes, cache) for checkpoint in checkpoints]))
    asked = {"split": split, "count": count, "seed": seed}
    written = {**asked, "images": len(dataset), "captions": len(dataset.captions), "rows": rows}
    json_file.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    show(rows)


def group_by_name(runs: Sequence[str]) -> dict[str, list[Path]]:
    """NAME=CHECKPOINT to the checkpoints of each name, in the order given."""
    recipes: dict[str, list[Path]] = {}
    for run in runs:
        name, separator, directory = run.partition("=")
        if not (name and separator and directory):
            raise typer.BadParameter(f"--run {run} is not NAME=CHECKPOINT, such as vse=runs/quality/vse-0/best")
        recipes.setdefault(name, []).append(Path(directory))
    return recipes


def measure(checkpoint: Path, dataset: ImageTextDataset, scenes: Path, cache: Path) -> dict[str, Any]:
    """All figures of one checkpoint."""
    embedder = open_embedder(checkpoint, cache)
    similarity = embedder.images(dataset.image_paths) @ embedder.texts(dataset.captions).T
    return {"checkpoint": str(checkpoint), "figures": evaluate_protocol("scenes", similarity, dataset, scenes)}


def chance(dataset: ImageTextDataset, scenes: Path) -> list[dict[str, Any]]:
    """The figures of similarities that know nothing, several times."""
    shape = (len(dataset), len(dataset.captions))
    matrices = [np.random.default_rng(seed).normal(size=shape) for seed in range(RANDOM_MATRICES)]
    return [{"figures": evaluate_protocol("scenes", matrix, dataset, scenes)} for matrix in matrices]


def summarise(name: str, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of every figure over the seeds, with the figures themselves."""
    names = measured[0]["figures"]
    values = {figure: [each["figures"][figure] for each in measured] for figure in names}
    return {
        "name": name,
        "mean": {figure: statistics.mean(found) for figure, found in values.items()},
        "std": {figure: statistics.pstdev(found) for figure, found in values.items()},
        "seeds": measured,
    }


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table with a line per figure and a column per recipe."""
    table = Table("figure", *(Column(f"{row['name']} ({len(row['seeds'])})", justify="right") for row in rows))
    for figure in SHOWN:
        table.add_row(figure, *(f"{row['mean'][figure]:.1f} ± {row['std'][figure]:.1f}" for row in rows))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
