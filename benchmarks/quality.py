"""Claim: `mini` on Flickr8k test, mean of seeds, beside this project's own `vse`; the best epoch is chosen on val.

    python benchmarks/quality.py --json quality.json

Runs that are already in the folder of runs are evaluated without training them again. Training runs in processes of
their own, so that the peak memory is that of one run.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from training.evaluate import evaluate

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path.home() / ".cache" / "aahr"
FLICKR8K = Path(os.environ.get("FLICKR8K") or ROOT.parent / "shared" / "data" / "flickr8k")


def main(
    json_file: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    recipes: Annotated[list[str] | None, typer.Option("--recipe", help="Names in training/configs.")] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed")] = None,
    runs: Annotated[Path, typer.Option(help="Run directories RECIPE-SEED.")] = Path("runs/quality"),
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones.")] = CACHE,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Overrides of every recipe.")] = None,
) -> None:
    """Train (where needed) and evaluate every recipe with every seed on test."""
    rows = [
        summarise(recipe, [measure(recipe, seed, runs, cache, settings or []) for seed in seeds or [0, 1, 2]])
        for recipe in recipes or ["mini", "vse"]
    ]
    json_file.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['name']}: rSum {row['rsum_mean']:.1f} +- {row['rsum_std']:.1f}, tau-c {row['tau_c_mean']:.1f}")


def measure(recipe: str, seed: int, runs: Path, cache: Path, settings: list[str]) -> dict[str, Any]:
    """Test metrics of one run, its seconds, its peak memory in MB where it was trained here, and its best val epoch."""
    directory = runs / f"{recipe}-{seed}"
    peak = None
    if not (directory / "best").exists():
        peak = _train(ROOT / "training" / "configs" / f"{recipe}.toml", directory, cache, [f"seed={seed}", *settings])
    test = evaluate(
        directory / "best",
        data=FLICKR8K / "dataset_flickr8k.json",
        images=FLICKR8K / "images",
        split="test",
        judgments=FLICKR8K / "expert_judgments.csv",
        cache=cache,
    )
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    best = max(lines, key=lambda line: line["val"]["flickr8k/rsum"])
    return {
        "seed": seed,
        "test": test,
        "val": best["val"],
        "epoch": best["epoch"],
        "seconds": lines[-1]["seconds"],
        "peak_mb": peak,
    }


def summarise(recipe: str, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds."""
    rsums = [each["test"]["rsum"] for each in measured]
    taus = [each["test"]["expert_tau_c"] for each in measured]
    return {
        "name": recipe,
        "rsum_mean": statistics.mean(rsums),
        "rsum_std": statistics.pstdev(rsums),
        "tau_c_mean": statistics.mean(taus),
        "tau_c_std": statistics.pstdev(taus),
        "seeds": measured,
    }


def _train(recipe: Path, directory: Path, cache: Path, settings: list[str]) -> float:
    """Train in a process of its own; gives its peak resident memory in MB."""
    options = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "cli", "train", str(recipe), "--out", str(directory), "--cache", str(cache)]
    process = subprocess.Popen([*command, *options], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise SystemExit(f"training {recipe.stem} into {directory} ended with status {code}")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    typer.run(main)
