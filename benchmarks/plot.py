"""Means with deviations as points, two measures side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

MEASURES = (("rsum", "rSum on Flickr8k test"), ("tau_c", "expert τ-c"))


def plot_rows(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Write an SVG of rows with `<measure>_mean` and `<measure>_std`."""
    figure = Figure(figsize=(10, 0.4 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    names = [row["name"] for row in rows]
    for axis, (measure, title) in zip(axes, MEASURES, strict=True):
        means = [row[f"{measure}_mean"] for row in rows]
        spread = [row[f"{measure}_std"] for row in rows]
        axis.errorbar(means, names, xerr=spread, fmt="o", color="#4c72b0", ecolor="#333333", capsize=2)
        axis.grid(alpha=0.3)
        axis.set_title(title)
    axes[0].invert_yaxis()
    with rc_context({"svg.hashsalt": "aahr"}):  # equal figures give equal files
        figure.savefig(file, metadata={"Date": None})
