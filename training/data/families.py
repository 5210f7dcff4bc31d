"""Batches that hold whole families: images that differ in one thing, and so the soft negatives of their captions."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError
from training.config import BatchConfig
from training.data.dataset import ImageTextDataset

Rows = NDArray[np.int64]


def whole_family_batches(rows: Rows, families: Rows, size: int, generator: np.random.Generator) -> list[Rows]:
    """Batches of exactly `size` of some rows, none of which holds a part of a family only.

    rows and their families [n]. Which families share a batch, and the order of the batches, are drawn; how many there
    are follows from the sizes of the families alone. Families of one size come together, so that images without a
    family (photographs beside scenes) fill batches of their own. What is left over is in no batch.
    """
    starts = np.unique(np.sort(families), return_index=True)[1][1:]
    groups = np.split(rows[np.argsort(families, kind="stable")], starts)
    of_size: dict[int, list[Rows]] = {}
    for place in generator.permutation(len(groups)):
        of_size.setdefault(len(groups[place]), []).append(groups[place])
    sizes = _sizes_of_batches(Counter(map(len, groups)), size)
    batches = [np.concatenate([of_size[count].pop() for count in counts]) for counts in sizes]
    return [batches[place] for place in generator.permutation(len(batches))]


def _sizes_of_batches(waiting: Counter[int], size: int) -> list[list[int]]:
    """The sizes of the families of each batch, the largest first, until no batch becomes full."""
    batches: list[list[int]] = []
    while True:
        batch: list[int] = []
        for count in sorted(waiting, reverse=True):
            batch += [count] * min(waiting[count], (size - sum(batch)) // count)
        if sum(batch) < size:
            return batches
        batches.append(batch)
        waiting = waiting - Counter(batch)


def refuse_unfit_families(dataset: ImageTextDataset, batch: BatchConfig) -> None:
    """Raise ConfigError for `whole_families` on data without families, or with one that is larger than a batch."""
    if not batch.whole_families:
        return
    if dataset.families is None:
        raise ConfigError(
            f"batch.whole_families = true, but nothing says which images of {dataset.name} are of one family: add "
            "drawn scenes (a data set of format 'scenes'), or set it to false"
        )
    largest = int(np.unique(dataset.families, return_counts=True)[1].max())
    if largest > batch.images:
        raise ConfigError(
            f"{dataset.name} has a family of {largest} images, which a batch of batch.images = {batch.images} cannot "
            f"hold: choose at least {largest}, or batch.whole_families = false"
        )
