"""Batches of ragged features against the obvious loop."""

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.table import FeatureTable, concatenate_tables

GENERATOR = np.random.default_rng(0)
ITEMS = [GENERATOR.normal(size=(length, 3)).astype(np.float16) for length in (2, 5, 1, 3)]
GLOBALS = GENERATOR.normal(size=(4, 2)).astype(np.float32)


def ragged() -> FeatureTable:
    """Items 0 and 1 in one piece, 2 and 3 in another, in the other order there."""
    pieces = [np.concatenate(ITEMS[:2]), np.concatenate([ITEMS[3], ITEMS[2]])]
    return FeatureTable(pieces, np.array([[0, 0, 2], [0, 2, 5], [1, 3, 1], [1, 0, 3]]), GLOBALS)


def assert_batch(table: FeatureTable, rows: list[int], items: list[NDArray[np.float16]]) -> None:
    found = table.batch(np.array(rows))
    assert found.features.shape == (len(rows), max(map(len, items)), 3)
    for position, item in enumerate(items):
        assert found.mask[position].tolist() == [True] * len(item) + [False] * (found.mask.shape[1] - len(item))
        torch.testing.assert_close(found.features[position, : len(item)], torch.from_numpy(item).float())
        assert not found.features[position, len(item) :].any()


def test_batches_are_padded_and_masked() -> None:
    rows = [3, 1, 1, 0, 2]
    assert_batch(ragged(), rows, [ITEMS[row] for row in rows])
    torch.testing.assert_close(ragged().batch(np.array(rows)).global_features, torch.from_numpy(GLOBALS[rows]))


def test_an_item_alone_has_no_padding() -> None:
    assert_batch(ragged(), [2], [ITEMS[2]])


def test_values_come_without_padding() -> None:
    values = np.concatenate(list(ragged().values(np.array([3, 0]))))
    np.testing.assert_array_equal(values, np.concatenate([ITEMS[3], ITEMS[0]]).astype(np.float32))


def test_concatenated_tables_keep_their_items() -> None:
    regions = GENERATOR.normal(size=(3, 4, 3)).astype(np.float16)
    both = concatenate_tables([ragged(), FeatureTable.of_regions(regions, np.array([2, 0]), GLOBALS[:2]), ragged()])
    assert (len(both), both.local_dimension) == (10, 3)
    assert_batch(both, [1, 4, 5, 9], [ITEMS[1], regions[2], regions[0], ITEMS[3]])
    np.testing.assert_array_equal(both.global_features, np.concatenate([GLOBALS, GLOBALS[:2], GLOBALS]))
