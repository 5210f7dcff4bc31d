"""Claim: what each part of AAHR is worth on Flickr8k, over seeds, on cached and reduced features.

    python benchmarks/ablation.py

Writes docs/ablation.json, docs/ablation.md and docs/ablation.svg. Every row is `training/configs/ablation.toml` with
the settings of the row, under triplets and under InfoNCE; runs that are already in the folder of runs are only read.
The best epoch of a run and all choices of the recipe are made on val.
"""

import json
import multiprocessing
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from places import CACHE, ROOT
from plot import plot_rows
from runs import CONFIGS, measure, rsum_difference, summarise, train_here, write_ranks

RECIPE = CONFIGS / "ablation.toml"
PARTS = ("local_matching", "prototypes", "relation", "momentum")
GGLP, NO_GGLP = ("model.pooling=gglp",), ("model.pooling=k_max",)
# The queues without their loss: prototypes assign a batch together with the keys.
KEYS_ALONE = ("objective.momentum.weight=0.0",)


def _off(*parts: str) -> tuple[str, ...]:
    return tuple(f"objective.{part}.enabled=false" for part in parts)


LOSSES = {"triplets": "distance_weighted", "InfoNCE": "infonce"}
BASELINE, FULL = "vse", "aahr"
ROWS: Mapping[str, Sequence[str]] = {
    BASELINE: (*NO_GGLP, *_off(*PARTS)),
    "vse, learning rate 4e-3": ("optimiser.learning_rate=4e-3", *NO_GGLP, *_off(*PARTS)),
    "vse without global": ("model.global_fusion=false", *NO_GGLP, *_off(*PARTS)),
    "vse + gglp": (*GGLP, *_off(*PARTS)),
    "vse + local matching": (*NO_GGLP, *_off("prototypes", "relation", "momentum")),
    "vse + prototypes": (*NO_GGLP, *KEYS_ALONE, *_off("local_matching", "relation")),
    "vse + relation": (*NO_GGLP, *_off("local_matching", "prototypes", "momentum")),
    "vse + momentum": (*NO_GGLP, *_off("local_matching", "prototypes", "relation")),
    FULL: (),
    "aahr - gglp": NO_GGLP,
    "aahr - local matching": _off("local_matching"),
    "aahr - prototypes": _off("prototypes"),
    "aahr - relation": _off("relation"),
    "aahr - momentum": KEYS_ALONE,
    "hrem": (
        "model.pooling=mean",
        "model.global_fusion=false",
        "objective.relation.graph_convolution=false",
        *_off("local_matching", "prototypes", "momentum"),
    ),
}


def main(
    out: Annotated[Path, typer.Option(help="Folder of ablation.json, .md and .svg.")] = ROOT / "docs",
    seeds: Annotated[list[int] | None, typer.Option("--seed")] = None,
    names: Annotated[list[str] | None, typer.Option("--row", help="Rows; default: all.")] = None,
    losses: Annotated[list[str] | None, typer.Option("--loss", help="triplets, InfoNCE; default: both.")] = None,
    runs: Annotated[Path, typer.Option(help="Run directories LOSS/ROW-SEED.")] = Path("runs/ablation"),
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones.")] = CACHE,
    jobs: Annotated[int, typer.Option(help="Runs beside each other, each on one thread.")] = 2,
) -> None:
    """Train (where needed) every row with every seed and both losses, and evaluate it on test."""
    chosen = [(loss, name) for name in names or ROWS for loss in losses or LOSSES]
    jobs_to_do = [(loss, name, seed) for seed in seeds or [0, 1, 2] for loss, name in chosen]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        done = [pool.submit(train_and_measure, *job, runs=runs, cache=cache) for job in jobs_to_do]
        for future in done:
            future.result()
    write(collect(runs), out)


def train_and_measure(loss: str, name: str, seed: int, *, runs: Path, cache: Path) -> None:
    """One run, with `measured.json` and `ranks.npz` in its directory; what is there already is not made again."""
    directory = place_of(runs, loss, name, seed)
    if (directory / "measured.json").exists():
        return
    torch.set_num_threads(1)
    settings = [f"seed={seed}", f"objective.matching.loss={LOSSES[loss]}", *ROWS[name]]
    train_here(RECIPE, directory, cache, settings)
    write_ranks(directory, cache)
    measured = {"loss": loss, "row": name, "seed": seed, **measure(directory, cache)}
    (directory / "measured.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def place_of(runs: Path, loss: str, name: str, seed: int) -> Path:
    """Where a run lies."""
    return runs / loss / f"{name.replace(' ', '').replace(',', '-')}-{seed}"


def collect(runs: Path) -> list[dict[str, Any]]:
    """A row per loss and recipe of all runs that are there, with the difference to `vse` of the same loss."""
    found: defaultdict[tuple[str, str], dict[int, Path]] = defaultdict(dict)
    measured = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in runs.glob("*/*/measured.json")}
    for place, figures in measured.items():
        found[figures["loss"], figures["row"]][figures["seed"]] = place
    return [
        {
            **summarise(name, [measured[places[seed]] for seed in sorted(places)]),
            "loss": loss,
            "config": list(ROWS[name]),
            "seeds": sorted(places),
            "against_vse": None if name == BASELINE else _difference(places, found[loss, BASELINE]),
        }
        for loss in LOSSES
        for name in ROWS
        if (places := found[loss, name])
    ]


def _difference(own: Mapping[int, Path], other: Mapping[int, Path]) -> dict[str, float] | None:
    """rSum of some runs less that of others, over the seeds that both have."""
    seeds = sorted(set(own) & set(other))
    if not seeds:
        return None
    first, second = ([places[seed] / "ranks.npz" for seed in seeds] for places in (own, other))
    return rsum_difference(first, second)._asdict()


def write(rows: list[dict[str, Any]], out: Path) -> None:
    """ablation.json, ablation.md and ablation.svg."""
    (out / "ablation.json").write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")
    (out / "ablation.md").write_text(table(rows), encoding="utf-8")
    plot_rows([{**row, "name": f"{row['name']} ({row['loss']})"} for row in rows], out / "ablation.svg")
    print(table(rows))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Test figures, mean and deviation over the seeds, with the bootstrapped difference to `vse`."""
    lines = [
        "| loss | | rSum | less `vse` (95 % of resamples) | τ-c | rSum on val | runs | seconds a run |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        against = row["against_vse"]
        difference = f"{against['mean']:+.1f} ({against['low']:+.1f} to {against['high']:+.1f})" if against else ""
        lines.append(
            f"| {row['loss']} | {row['name']} | {row['rsum_mean']:.1f} ± {row['rsum_std']:.1f} | {difference} | "
            f"{row['tau_c_mean']:.1f} ± {row['tau_c_std']:.1f} | {row['val_rsum_mean']:.1f} | {len(row['seeds'])} | "
            f"{row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
