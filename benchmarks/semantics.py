"""Claim: what visual semantic descriptions (VSD) by the offline describers are worth on Flickr8k, and why not more.

    python benchmarks/semantics.py

Writes docs/semantics.json and docs/semantics.md. Every row is `training/configs/ablation.toml`, InfoNCE, with the
settings of the row. Runs that are already in the folder of runs are only read; a row without runs there, measured
elsewhere, stays in the table. The best epoch of a run, the weight of
the sum and the wording of the describers were chosen on val; test is read once a run.
"""

import json
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from places import CACHE, FLICKR8K, ROOT
from runs import CONFIGS, measure, rsum_difference, summarise, train_here, write_ranks
from semantics_data import CAPTION, NEIGHBOURS, SHUFFLED, TAGS, alone, write_descriptions

RECIPE = CONFIGS / "ablation.toml"
PARTS = ("local_matching", "prototypes", "relation", "momentum")
VSE = ("model.pooling=k_max", *(f"objective.{part}.enabled=false" for part in PARTS))
GATE, LIGHT = ("model.semantics.fusion=gate",), ("model.semantics.weight=0.15",)
SUM = ("model.semantics.weight=1.0",)
PROTOTYPES = ("objective.semantic_prototypes.enabled=true", "objective.semantic_prototypes.count=160")

# What is trained: the recipe's settings, and which descriptions, if any.
ROWS: Mapping[str, tuple[Sequence[str], str | None]] = {
    "vse": (VSE, None),
    "vse + tags, sum": ((*VSE, *SUM), TAGS),
    "vse + tags, sum of weight 0.15": ((*VSE, *LIGHT), TAGS),
    "vse + tags, gate": ((*VSE, *GATE), TAGS),
    "vse + tags, sum of weight 0.15, prototypes": ((*VSE, *LIGHT, *PROTOTYPES), TAGS),
    "vse + neighbours, sum": ((*VSE, *SUM), NEIGHBOURS),
    "vse + neighbours, sum of weight 0.15": ((*VSE, *LIGHT), NEIGHBOURS),
    "vse + neighbours, gate": ((*VSE, *GATE), NEIGHBOURS),
    "vse + neighbours, sum of weight 0.15, prototypes": ((*VSE, *LIGHT, *PROTOTYPES), NEIGHBOURS),
    "vse + tags of other images, sum of weight 0.15": ((*VSE, *LIGHT), SHUFFLED),
    "aahr": ((), None),
    "aahr + tags, sum of weight 0.15": (LIGHT, TAGS),
    "aahr + neighbours, sum of weight 0.15": (LIGHT, NEIGHBOURS),
    "caption to caption, sum": ((*VSE, *SUM), CAPTION),
}
_MOST_SEEDS = 20
BASES = {True: "vse", False: "aahr"}


def main(
    out: Annotated[Path, typer.Option(help="Folder of semantics.json and .md.")] = ROOT / "docs",
    seeds: Annotated[list[int] | None, typer.Option("--seed")] = None,
    names: Annotated[list[str] | None, typer.Option("--row", help="Rows; default: all.")] = None,
    epochs: Annotated[int, typer.Option(help="Of each run.")] = 12,
    runs: Annotated[Path, typer.Option(help="Run directories ROW-SEED, and the descriptions.")] = Path(
        "runs/semantics"
    ),
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones.")] = CACHE,
    jobs: Annotated[int, typer.Option(help="Runs beside each other, each on one thread.")] = 2,
) -> None:
    """Describe, train (where needed) every row with every seed, and evaluate it on test."""
    write_descriptions(runs, cache)
    jobs_to_do = [(name, seed) for seed in seeds or [0, 1, 2] for name in names or ROWS]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        done = [pool.submit(train_and_measure, *job, epochs=epochs, runs=runs, cache=cache) for job in jobs_to_do]
        for future in done:
            future.result()
    rows = _with_earlier(out / "semantics.json", collect(runs))
    found = {"epochs": epochs, "rows": rows, "alone": {name: alone(runs, name, cache) for name in (TAGS, NEIGHBOURS)}}
    (out / "semantics.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (out / "semantics.md").write_text(table(found), encoding="utf-8")
    print(table(found))


def train_and_measure(name: str, seed: int, *, epochs: int, runs: Path, cache: Path) -> None:
    """One run with `measured.json` and `ranks.npz` in its directory; what is there already is not made again."""
    directory = place_of(runs, name, seed)
    if (directory / "measured.json").exists():
        return
    torch.set_num_threads(1)
    settings, kind = ROWS[name]
    file = None if kind is None else (runs / f"{kind}.jsonl").resolve()
    told = [f"seed={seed}", f"epochs={epochs}", "objective.matching.loss=infonce", *settings]
    if file is not None:
        told.append(f"data.flickr8k.descriptions={file}")
    if kind == CAPTION:  # the caption that describes is not to be found as well
        told.append(f"data.flickr8k.captions={(runs / 'without-first-captions.json').resolve()}")
    train_here(RECIPE, directory, cache, told)
    measured: dict[str, Any] = {"row": name, "seed": seed}
    if kind != CAPTION:
        write_ranks(directory, cache, file)
        measured |= measure(directory, cache, file)
        if file is not None:
            measured["undescribed"] = measure(directory, cache)["test"]["rsum"]
    else:
        lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        measured["val"] = max((line["val"] for line in lines), key=lambda val: val["flickr8k/rsum"])
    (directory / "measured.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def place_of(runs: Path, name: str, seed: int) -> Path:
    """Where a run lies."""
    return runs / f"{name.replace(' ', '').replace(',', '-')}-{seed}"


def collect(runs: Path) -> list[dict[str, Any]]:
    """A row for each recipe of all runs that are there, with the difference to what it adds descriptions to."""
    rows = []
    for name in ROWS:
        places = {seed: place_of(runs, name, seed) for seed in range(_MOST_SEEDS)}
        places = {seed: path for seed, path in places.items() if (path / "measured.json").exists()}
        measured = [json.loads((path / "measured.json").read_text(encoding="utf-8")) for path in places.values()]
        if not measured:
            continue
        if "test" not in measured[0]:
            val = float(np.mean([each["val"]["flickr8k/rsum"] for each in measured]))
            rows.append({"name": name, "val_rsum_mean": val, "seeds": list(places)})
            continue
        base = BASES[name.startswith("vse")]
        undescribed = [each["undescribed"] for each in measured if "undescribed" in each]
        rows.append(
            {
                **summarise(name, measured),
                "seeds": list(places),
                "undescribed_mean": float(np.mean(undescribed)) if undescribed else None,
                "against_base": None if name == base else _difference(runs, places, base),
            }
        )
    return rows


def _with_earlier(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, and those that the file has and they lack, in the order of ROWS."""
    earlier = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    by_name = {row["name"]: row for row in (*earlier, *rows)}
    return [by_name[name] for name in ROWS if name in by_name]


def _difference(runs: Path, places: Mapping[int, Path], base: str) -> dict[str, float] | None:
    """rSum less that of the row without descriptions, over the seeds that both have."""
    seeds = [seed for seed in places if (place_of(runs, base, seed) / "ranks.npz").exists()]
    if not seeds:
        return None
    own, other = ([path / "ranks.npz" for path in paths] for paths in _pairs(runs, places, base, seeds))
    return rsum_difference(own, other)._asdict()


def _pairs(runs: Path, places: Mapping[int, Path], base: str, seeds: Sequence[int]) -> tuple[list[Path], list[Path]]:
    return [places[seed] for seed in seeds], [place_of(runs, base, seed) for seed in seeds]


def table(found: Mapping[str, Any]) -> str:
    """Test figures, mean and deviation over the seeds, with the bootstrapped difference to the row without."""
    lines = [
        "| | rSum | less that without descriptions (95 % of resamples) | without them at test | rSum on val | runs |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        against, without = row.get("against_base"), row.get("undescribed_mean")
        difference = f"{against['mean']:+.1f} ({against['low']:+.1f} to {against['high']:+.1f})" if against else ""
        rsum = f"{row['rsum_mean']:.1f} ± {row['rsum_std']:.1f}" if "rsum_mean" in row else "not measured"
        left = "" if without is None else f"{without:.1f}"
        lines.append(
            f"| {row['name']} | {rsum} | {difference} | {left} | {row['val_rsum_mean']:.1f} | {len(row['seeds'])} |"
        )
    for name, rsum in found["alone"].items():
        lines.append(f"| {name} alone, no training | | | | {rsum:.1f} | |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    assert FLICKR8K.exists(), f"{FLICKR8K} is not there: set FLICKR8K"
    typer.run(main)
