"""Hubness beside its definition."""

import numpy as np
import pytest

from model.hubness import TEMPERATURE, hubness, spread
from tests.pending import unit_rows


def slow(item: np.ndarray, bank: np.ndarray) -> float:
    cosines = [float(np.dot(item.astype(np.float64), each.astype(np.float64))) for each in bank]
    return TEMPERATURE * np.log(sum(np.exp(cosine / TEMPERATURE) for cosine in cosines) / len(cosines))


def test_it_is_the_soft_maximum_of_the_cosines() -> None:
    items, bank = unit_rows(30, seed=1), unit_rows(70, seed=2)
    found = hubness(items, bank)
    assert found.dtype == np.float32
    assert found == pytest.approx([slow(item, bank) for item in items], abs=1e-5)
    cosines = items @ bank.T
    assert (found <= cosines.max(axis=1) + 1e-6).all()
    assert (found >= cosines.mean(axis=1) - 1e-6).all()


def test_what_belongs_to_an_item_does_not_count() -> None:
    items, bank = unit_rows(4, seed=1), unit_rows(120, seed=2)
    bank[7] = items[2]  # its own caption
    own, others = np.array([0, 1, 2, -1]), np.full(120, -2)
    others[7] = 2
    left_out = np.vstack([np.delete(bank, 7, axis=0)])
    found = hubness(items, bank, own, others)
    # One of 120 counts as the farthest there is.
    assert found[2] == pytest.approx(slow(items[2], left_out), abs=2e-3)
    assert found[[0, 1, 3]] == pytest.approx(hubness(items, bank)[[0, 1, 3]])
    assert hubness(items, bank)[2] > found[2] + 0.1


@pytest.mark.parametrize(
    ("rows", "most", "expected"), [(3, 10, 3), (10, 10, 10), (11, 10, 6), (1000, 10, 10), (1, 1, 1)]
)
def test_a_sample_is_spread_over_all_rows(rows: int, most: int, expected: int) -> None:
    chosen = spread(rows, most)
    assert len(chosen) == expected
    assert len(set(np.diff(chosen))) <= 1
    assert chosen[0] == 0
    assert chosen[-1] < rows
