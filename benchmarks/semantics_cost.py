"""Claim: a model that fuses semantics encodes at least half as many texts as one that does not.

    python benchmarks/semantics_cost.py PLAIN_MODEL FUSING_MODEL

Both are directories of `aahr export`, run in turns on one thread; the figures are medians.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated

import typer
from places import FLICKR8K

from model.runtime import Runtime
from training.data.karpathy import load_karpathy

TEXTS, ALONE, ROUNDS = 512, 40, 5


def main(
    plain: Annotated[Path, typer.Argument(help="Model without semantics.")],
    fusing: Annotated[Path, typer.Argument(help="Model with semantics.")],
) -> None:
    """Print texts a second and milliseconds for one text, of both."""
    captions = load_karpathy(FLICKR8K / "dataset_flickr8k.json", FLICKR8K / "images", "val").captions[:TEXTS]
    runtimes = {name: Runtime.load(path, workers=1) for name, path in (("without", plain), ("with", fusing))}
    together: dict[str, list[float]] = {name: [] for name in runtimes}
    alone: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(ROUNDS):
        for name, runtime in runtimes.items():
            together[name].append(len(captions) / _seconds(runtime, [captions]))
            alone[name].append(1000 * _seconds(runtime, [[text] for text in captions[:ALONE]]) / ALONE)
    for name in runtimes:
        print(
            f"{name}: {statistics.median(together[name]):.1f} texts/s, {statistics.median(alone[name]):.2f} ms for one"
        )


def _seconds(runtime: Runtime, batches: list[list[str]] | list[tuple[str, ...]]) -> float:
    begun = time.perf_counter()
    for batch in batches:
        runtime.encode_texts(batch)
    return time.perf_counter() - begun


if __name__ == "__main__":
    typer.run(main)
