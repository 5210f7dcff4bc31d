"""Inter-modal correlations against the one matrix product in them, and against a loop over captions.

    python benchmarks/relation.py --json OUT [--device cuda]

Batch 128 images and 128 captions, 36 regions, 32 words, D 1024, float32. Product, ours and the loop take turns within a
round, so that what else the machine does meets them alike; a ratio is the median over the rounds. Targets:
`ratio_to_product` at most 1.5, `speedup_over_loop` at least 2.5, both with all that the relation part takes from the
correlations: means and the ten best of both directions. Under `ragged` the captions have 8 to 32 words. Under `step`:
the time of a whole training step, see `benchmarks/step.py`.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from step import STEP_ROUNDS, step_report, synchronise
from torch import Tensor

from training.relation import CAPTIONS_PER_TILE, TILE_BYTES, FragmentScores, fragment_scores

TOP = 10
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Shapes:
    """Sizes of the batch whose correlations are timed."""

    images: int = 128
    regions: int = 36
    captions: int = 128
    words: int = 32
    dimension: int = 1024


Batch = tuple[Tensor, Tensor, Tensor, Tensor]
Scores = tuple[FragmentScores, FragmentScores]


def main(
    json_file: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Of torch, on the CPU.")] = 2,
    rounds: Annotated[int, typer.Option(help="Rounds of product, ours and loop.")] = 15,
    step_rounds: Annotated[int, typer.Option(help="Training steps to time; 0 leaves them out.")] = STEP_ROUNDS,
) -> None:
    """Time the correlations and the training step, and write the figures."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    shapes, place = Shapes(), torch.device(device)
    report: dict[str, Any] = {
        **compare(random_batch(shapes, place, shortest=shapes.words), rounds),
        "ragged": compare(random_batch(shapes, place, shortest=8), rounds),
        "shapes": asdict(shapes),
        "tile": {"bytes": TILE_BYTES, "captions": CAPTIONS_PER_TILE},
        "threads": threads,
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine(),
        "load": os.getloadavg()[0],
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
    if step_rounds:
        report["step"] = step_report(place, step_rounds)
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


def random_batch(shapes: Shapes, device: torch.device, shortest: int) -> Batch:
    """Regions [N, R, D], words [M, T, D] and their masks; captions have `shortest` to T words, one of them T."""
    generator = torch.Generator().manual_seed(0)
    regions = torch.randn(shapes.images, shapes.regions, shapes.dimension, generator=generator)
    words = torch.randn(shapes.captions, shapes.words, shapes.dimension, generator=generator)
    lengths = torch.randint(shortest, shapes.words + 1, (shapes.captions,), generator=generator)
    lengths[0] = shapes.words
    word_mask = torch.arange(shapes.words) < lengths[:, None]
    return (
        regions.to(device),
        torch.ones(regions.shape[:2], dtype=torch.bool, device=device),
        words.to(device),
        word_mask.to(device),
    )


@torch.no_grad()
def loop_over_captions(regions: Tensor, words: Tensor, word_mask: Tensor, top: int) -> Scores:
    """The slow, obvious version, as research code has it: per caption one repeat, a product and two normalisations."""
    regions, words = F.normalize(regions, dim=-1), F.normalize(words, dim=-1)
    of_regions, of_words = [], []
    for caption, mask in zip(words, word_mask, strict=True):
        repeated = caption[mask].repeat(len(regions), 1, 1)  # [N, t, D]
        scores = F.leaky_relu(torch.bmm(regions, repeated.transpose(1, 2)), 0.1)  # [N, R, t]
        of_words.append(_mean_and_best(_normalised(scores, dim=2).amax(dim=1), top))
        of_regions.append(_mean_and_best(_normalised(scores, dim=1).amax(dim=2), top))
    i2t = FragmentScores(*(torch.stack(column, dim=1) for column in zip(*of_regions, strict=True)))
    t2i = FragmentScores(*(torch.stack(column) for column in zip(*of_words, strict=True)))
    return i2t, t2i


def _normalised(scores: Tensor, dim: int) -> Tensor:
    return scores / (scores.pow(2).sum(dim, keepdim=True).sqrt() + 1e-8)


def _mean_and_best(scores: Tensor, top: int) -> tuple[Tensor, Tensor]:
    best = scores.topk(min(top, scores.shape[1]), dim=1).values
    return scores.mean(dim=1), F.pad(best, (0, top - best.shape[1]))


def compare(batch: Batch, rounds: int) -> dict[str, Any]:
    """Ratios, seconds and the largest difference between ours and the loop, which must stay below the tolerance."""
    regions, _, words, word_mask = batch
    rows, columns = regions.flatten(end_dim=1), words.flatten(end_dim=1).T
    product = rows.new_empty(len(rows), columns.shape[1])
    times = take_turns(
        {
            # Into memory that is there already: the product alone, without what a fresh allocation costs.
            "product": lambda: torch.mm(rows, columns, out=product),
            "ours": lambda: fragment_scores(*batch, top=TOP),
            "ours_without_best": lambda: fragment_scores(*batch, top=0),
            "loop": lambda: loop_over_captions(regions, words, word_mask, TOP),
        },
        rounds,
        regions.device,
    )
    return {
        "ratio_to_product": _median_ratio(times["ours"], times["product"]),
        "ratio_to_product_without_best": _median_ratio(times["ours_without_best"], times["product"]),
        "speedup_over_loop": _median_ratio(times["loop"], times["ours"]),
        "loop_to_product": _median_ratio(times["loop"], times["product"]),
        "seconds": {name: {"median": statistics.median(each), "least": min(each)} for name, each in times.items()},
        "rounds": rounds,
        "largest_difference": _largest_difference(batch),
    }


def take_turns(calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            synchronise(device)
            start = time.perf_counter()
            call()
            synchronise(device)
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def _median_ratio(numerator: list[float], denominator: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def _largest_difference(batch: Batch) -> float:
    regions, _, words, word_mask = batch
    ours, loop = fragment_scores(*batch, top=TOP), loop_over_captions(regions, words, word_mask, TOP)
    difference = max(
        float((a - b).abs().max())
        for mine, other in zip(ours, loop, strict=True)
        for a, b in zip(mine, other, strict=True)
    )
    if difference > TOLERANCE:
        raise SystemExit(f"ours and the loop differ by {difference}, more than {TOLERANCE}")
    return difference


if __name__ == "__main__":
    typer.run(main)
