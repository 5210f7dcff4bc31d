"""The table and the plot of `benchmarks/search.py`: python benchmarks/search_plot.py search.json docs/search"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib import rc_context
from matplotlib.figure import Figure

_AXES = (
    ("ms_per_query", "milliseconds a query, one thread"),
    ("memory_share", "memory, as a share of float32"),
    ("build_seconds", "seconds to build and tune"),
)


def main(
    figures: Annotated[Path, typer.Argument(help="JSON of benchmarks/search.py.")],
    out: Annotated[Path, typer.Argument(help="Where to write to, without a suffix: .md and .svg.")],
) -> None:
    """Write OUT.md and OUT.svg."""
    rows = json.loads(figures.read_text(encoding="utf-8"))["table"]
    out.with_suffix(".md").write_text(table(rows), encoding="utf-8")
    plot(rows, out.with_suffix(".svg"))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures in Markdown, one row for each kind and number of rows."""
    lines = [
        "| rows | kind | recall@10 | ms a query | of a flat scan | memory share | build s | setting |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["rows"], row["ms_per_query"])):
        setting = ", ".join(
            f"{name} {value}" for name, value in row["setting"].items() if (name, value) != ("rerank", 1)
        )
        lines.append(
            f"| {row['rows']:,} | {row['kind']} | {row['recall_at_10']:.3f} | {row['ms_per_query']:.2f} | "
            f"{row['ratio']:.4f} | {row['memory_share']:.1%} | {row['build_seconds']:.0f} | {setting} |"
        )
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Time, memory and build of each kind against the number of rows, on logarithmic axes."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    for axis, (measure, title) in zip(figure.subplots(1, len(_AXES)), _AXES, strict=True):
        for kind in sorted({row["kind"] for row in rows}):
            points = sorted((row["rows"], row[measure]) for row in rows if row["kind"] == kind)
            axis.plot(*zip(*points, strict=True), marker="o", label=kind)
        axis.set(xscale="log", yscale="log", xlabel="rows", title=title)
        axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    with rc_context({"svg.hashsalt": "aahr"}):  # equal figures make equal files
        figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    typer.run(main)
