"""`aahr evaluate A --against B`: two models on the same queries, and whether their difference is more than chance."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table

from model.artifact import load_model_artifact
from model.errors import ConfigError
from model.manifest import write_text_atomically
from training.about import About
from training.checkpoint import is_exported, open_checkpoint
from training.evaluate import measure
from training.evaluation_data import EvaluationData
from training.metrics import Difference, recall_differences


class Comparison(NamedTuple):
    """The figures of a model and of another one, and the first less the second with its bounds of 95 %."""

    metrics: dict[str, float]
    against: dict[str, float]
    differences: dict[str, Difference]


def compare(directory: Path, against: Path, on: EvaluationData, cache: Path) -> Comparison:
    """The recalls and rSum of two models, each a checkpoint or an exported or imported model.

    Descriptions go to those of the two that fuse semantics. Raises ConfigError for another protocol than "standard",
    and as `training.evaluate.evaluate`.
    """
    if on.protocol != "standard":
        raise ConfigError(
            f"models are compared by protocol standard, not {on.protocol!r}: leave out --against, or --protocol"
        )
    undescribed = replace(on, descriptions=None)
    fusing = [_fuses_semantics(model) for model in (directory, against)]
    # Where neither takes descriptions, the first says so.
    own = measure(directory, on if fusing[0] or not any(fusing) else undescribed, cache)
    other = measure(against, on if fusing[1] else undescribed, cache)
    return Comparison(own.metrics, other.metrics, recall_differences([own.ranks], [other.ranks]))


def show_comparison(comparison: Comparison, about: About, against: Path, json_file: Path | None) -> None:
    """Print what it is about and a table, and write both as JSON where a file is given, the other under "against"."""
    table = Table("metric", *(Column(name, justify="right") for name in ("value", "against", "difference", "95 %")))
    for name, value in comparison.metrics.items():
        other = comparison.against.get(name)
        table.add_row(
            name, f"{value:.1f}", "" if other is None else f"{other:.1f}", *_cells(comparison.differences.get(name))
        )
    console = Console()
    console.print(about.line, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    console.print(_verdict(comparison.differences["rsum"], against), markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        differences = {name: found._asdict() for name, found in comparison.differences.items()}
        other_model = {"directory": str(against), "metrics": comparison.against, "differences": differences}
        document = {**comparison.metrics, "about": asdict(about), "against": other_model}
        write_text_atomically(json_file, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _cells(difference: Difference | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    return f"{difference.mean:+.1f}", f"{difference.low:+.1f} to {difference.high:+.1f}"


def _verdict(difference: Difference, against: Path) -> str:
    if not difference.is_clear:
        return f"no clear difference in rSum from {against}: the interval holds 0"
    return f"rSum is {'higher' if difference.mean > 0 else 'lower'} than that of {against}: the interval leaves out 0"


def _fuses_semantics(directory: Path) -> bool:
    if is_exported(directory):
        return load_model_artifact(directory, verify=False).semantics is not None
    return open_checkpoint(directory).config.model.semantics is not None
