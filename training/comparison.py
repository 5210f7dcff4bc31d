"""`aahr evaluate A --against B`: two models on the same queries, and whether their difference is more than chance."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table

from model.artifact import load_model_artifact
from model.errors import ConfigError
from model.manifest import write_text_atomically
from training.about import About
from training.checkpoint import is_exported, open_checkpoint
from training.data.formats import FileFormat
from training.evaluate import Measured, measure
from training.metrics import Difference, recall_differences


class Comparison(NamedTuple):
    """The figures of a model and of another one, and the first less the second with its bounds of 95 %."""

    metrics: dict[str, float]
    against: dict[str, float]
    differences: dict[str, Difference]


def compare(
    directory: Path,
    against: Path,
    *,
    data: Path,
    images: Path | None,
    split: str,
    judgments: Path | None,
    cache: Path,
    protocol: str = "standard",
    descriptions: Path | None = None,
    data_format: FileFormat | None = None,
) -> Comparison:
    """The recalls and rSum of two models, each a checkpoint or an exported or imported model.

    `descriptions` go to those of the two that fuse semantics. Raises ConfigError for another protocol than "standard",
    and as `training.evaluate.evaluate`.
    """
    if protocol != "standard":
        raise ConfigError(
            f"models are compared by protocol standard, not {protocol!r}: leave out --against, or --protocol"
        )

    def found(model: Path, described: Path | None) -> Measured:
        return measure(
            model,
            data=data,
            images=images,
            split=split,
            judgments=judgments,
            cache=cache,
            descriptions=described,
            data_format=data_format,
        )

    fusing = [_fuses_semantics(model) for model in (directory, against)]
    # Where neither takes descriptions, the first says so.
    own = found(directory, descriptions if fusing[0] or not any(fusing) else None)
    other = found(against, descriptions if fusing[1] else None)
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
