"""What the benchmarks of quality share: train a recipe, evaluate it on test, average seeds."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from places import FLICKR8K, ROOT

from model.descriptions import read_descriptions
from training.config import load_config
from training.data.karpathy import load_karpathy
from training.evaluate import evaluate, open_embedder
from training.evaluation_data import EvaluationData
from training.metrics import Difference, Ranks, ranks_of, recall_differences
from training.train import train

CONFIGS = ROOT / "training" / "configs"


def train_once(recipe: Path, directory: Path, cache: Path, settings: Sequence[str]) -> float | None:
    """Train into a directory, or go on there; returns the peak resident memory in MB, None if it was complete already.

    In a process of its own, so that the peak is that of one run.
    """
    begun = (directory / "last").exists()
    if begun and _epochs_done(directory) == _planned_epochs(directory):
        return None
    options = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "cli", "train", str(recipe), "--out", str(directory), "--cache", str(cache)]
    process = subprocess.Popen([*command, *options, *(["--resume"] if begun else [])], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise SystemExit(f"training {recipe.stem} into {directory} ended with status {code}")
    return usage.ru_maxrss / 1024


def train_here(recipe: Path, directory: Path, cache: Path, settings: Sequence[str]) -> None:
    """Train into a directory in this process, or go on there; many short runs share what takes long to import."""
    begun = (directory / "last").exists()
    if not begun or _epochs_done(directory) < _planned_epochs(directory):
        train(load_config(recipe, settings), directory, cache, resume=begun)


def write_ranks(directory: Path, cache: Path, descriptions: Path | None = None) -> None:
    """`ranks.npz` in a run's directory: of each test query of its best checkpoint the rank of its first positive."""
    dataset = load_karpathy(FLICKR8K / "dataset_flickr8k.json", FLICKR8K / "images", "test")
    described = None
    if descriptions is not None:
        of_image = read_descriptions(descriptions).of_image
        described = [of_image.get(path.name) for path in dataset.image_paths]
    with closing(open_embedder(directory / "best", cache)) as embedder:
        similarity = embedder.images(dataset.image_paths, described) @ embedder.texts(dataset.captions).T
    np.savez_compressed(directory / "ranks.npz", **ranks_of(similarity, dataset.image_of_caption)._asdict())


def rsum_difference(first: Sequence[Path], second: Sequence[Path]) -> Difference:
    """rSum of the runs `first` less that of the runs `second`, each a `ranks.npz` of `write_ranks`, mean over seeds."""
    return recall_differences(_read_ranks(first), _read_ranks(second))["rsum"]


def _read_ranks(files: Sequence[Path]) -> list[Ranks]:
    found = []
    for file in files:
        with np.load(file) as ranks:
            found.append(Ranks(**ranks))
    return found


def measure(directory: Path, cache: Path, descriptions: Path | None = None) -> dict[str, Any]:
    """Test metrics on Flickr8k of the best checkpoint of a run, its val metrics, its epoch and the run's seconds."""
    on = EvaluationData(
        FLICKR8K / "dataset_flickr8k.json",
        FLICKR8K / "images",
        "test",
        FLICKR8K / "expert_judgments.csv",
        descriptions=descriptions,
    )
    test = evaluate(directory / "best", on, cache)
    lines = _metrics(directory)
    best = max(lines, key=lambda line: line["val"]["flickr8k/rsum"])
    return {"test": test, "val": best["val"], "epoch": best["epoch"], "seconds": lines[-1]["seconds"]}


def summarise(name: str, measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds; `val_rsum_mean` is what choices were made by."""
    rsums = [each["test"]["rsum"] for each in measured]
    taus = [each["test"]["expert_tau_c"] for each in measured]
    return {
        "name": name,
        "rsum_mean": statistics.mean(rsums),
        "rsum_std": statistics.pstdev(rsums),
        "tau_c_mean": statistics.mean(taus),
        "tau_c_std": statistics.pstdev(taus),
        "val_rsum_mean": statistics.mean(each["val"]["flickr8k/rsum"] for each in measured),
        "seconds": statistics.mean(each["seconds"] for each in measured),
    }


def _metrics(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def _epochs_done(directory: Path) -> int:
    file = directory / "metrics.jsonl"
    return int(_metrics(directory)[-1]["epoch"]) if file.exists() else 0


def _planned_epochs(directory: Path) -> int:
    return int(json.loads((directory / "config.json").read_text(encoding="utf-8"))["epochs"])
