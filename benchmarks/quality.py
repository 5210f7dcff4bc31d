"""Claim: the recipes on Flickr8k test, mean of seeds; the best epoch is chosen on val.

    python benchmarks/quality.py --json quality.json

Runs that are already in the folder of runs are evaluated without training them again.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from places import CACHE
from runs import CONFIGS, measure, summarise, train_once


def main(
    json_file: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    recipes: Annotated[list[str] | None, typer.Option("--recipe", help="Names in training/configs.")] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed")] = None,
    runs: Annotated[Path, typer.Option(help="Run directories RECIPE-SEED.")] = Path("runs/quality"),
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones.")] = CACHE,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Overrides of every recipe.")] = None,
) -> None:
    """Train (where needed) and evaluate every recipe with every seed on test."""
    rows = []
    for recipe in recipes or ["mini-frozen", "vse"]:
        measured = [_run(recipe, seed, runs, cache, settings or []) for seed in seeds or [0, 1, 2]]
        rows.append({**summarise(recipe, measured), "seeds": measured})
    json_file.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['name']}: rSum {row['rsum_mean']:.1f} +- {row['rsum_std']:.1f}, tau-c {row['tau_c_mean']:.1f}")


def _run(recipe: str, seed: int, runs: Path, cache: Path, settings: list[str]) -> dict[str, Any]:
    directory = runs / f"{recipe}-{seed}"
    peak = train_once(CONFIGS / f"{recipe}.toml", directory, cache, [f"seed={seed}", *settings])
    return {"seed": seed, **measure(directory, cache), "peak_mb": peak}


if __name__ == "__main__":
    typer.run(main)
