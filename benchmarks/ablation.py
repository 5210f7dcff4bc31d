"""Claim: what each part of AAHR is worth on Flickr8k, over seeds, on cached and reduced features.

    python benchmarks/ablation.py

Writes docs/ablation.json, docs/ablation.md and docs/ablation.svg. Every row is `training/configs/ablation.toml` with
the settings of the row; runs that are already in the folder of runs are only evaluated. The best epoch of a run and all
choices of the recipe are made on val.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from plot import plot_rows
from runs import CACHE, CONFIGS, ROOT, measure, summarise, train_once

RECIPE = CONFIGS / "ablation.toml"
GGLP, NO_GGLP = ("model.pooling=gglp",), ("model.pooling=k_max",)
PARTS = ("prototypes", "relation", "momentum")


def _off(*parts: str) -> tuple[str, ...]:
    return tuple(f"objective.{part}.enabled=false" for part in parts)


INFONCE = ("objective.matching.loss=infonce",)
ROWS: Mapping[str, Sequence[str]] = {
    "vse": (*NO_GGLP, *_off(*PARTS)),
    "vse + gglp": (*GGLP, *_off(*PARTS)),
    "vse + prototypes": (*NO_GGLP, *_off("relation", "momentum")),
    "vse + relation": (*NO_GGLP, *_off("prototypes", "momentum")),
    "vse + momentum": (*NO_GGLP, *_off("prototypes", "relation")),
    "aahr": (),
    "aahr - gglp": NO_GGLP,
    "aahr - prototypes": _off("prototypes"),
    "aahr - relation": _off("relation"),
    "aahr - momentum": _off("momentum"),
    "hrem": (
        "model.pooling=mean",
        "model.global_fusion=false",
        "objective.relation.graph_convolution=false",
        *_off("prototypes", "momentum"),
    ),
    "vse, learning rate 4e-3": ("optimiser.learning_rate=4e-3", *NO_GGLP, *_off(*PARTS)),
    "vse, InfoNCE": (*INFONCE, *NO_GGLP, *_off(*PARTS)),
    "aahr, InfoNCE": INFONCE,
}


def main(
    out: Annotated[Path, typer.Option(help="Folder of ablation.json, .md and .svg.")] = ROOT / "docs",
    seeds: Annotated[list[int] | None, typer.Option("--seed")] = None,
    names: Annotated[list[str] | None, typer.Option("--row", help="Rows; default: all.")] = None,
    runs: Annotated[Path, typer.Option(help="Run directories ROW-SEED.")] = Path("runs/ablation"),
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones.")] = CACHE,
    jobs: Annotated[int, typer.Option(help="Runs beside each other, each on one thread.")] = 2,
) -> None:
    """Train (where needed) and evaluate every row with every seed on test."""
    chosen = {name: settings for name, settings in ROWS.items() if names is None or name in names}
    directories = {
        (name, seed): runs / f"{name.replace(' ', '').replace(',', '-')}-{seed}"
        for seed in seeds or [0, 1, 2]
        for name in chosen
    }
    with ThreadPoolExecutor(jobs) as pool:
        trained = [
            pool.submit(train_once, RECIPE, directory, cache, [f"seed={seed}", "threads=1", *chosen[name]])
            for (name, seed), directory in directories.items()
        ]
    for run in trained:
        run.result()
    rows = [
        {
            **summarise(name, [measure(path, cache) for (row, _), path in directories.items() if row == name]),
            "config": list(settings),
        }
        for name, settings in chosen.items()
    ]
    _write(rows, out)


def _write(rows: list[dict[str, Any]], out: Path) -> None:
    (out / "ablation.json").write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")
    (out / "ablation.md").write_text(_table(rows), encoding="utf-8")
    plot_rows(rows, out / "ablation.svg")
    print(_table(rows))


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | rSum | τ-c | rSum on val | seconds a run |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {row['name']} | {row['rsum_mean']:.1f} ± {row['rsum_std']:.1f} | {row['tau_c_mean']:.1f} ± "
        f"{row['tau_c_std']:.1f} | {row['val_rsum_mean']:.1f} | {row['seconds']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
