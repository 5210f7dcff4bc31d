"""What backbones return: means over valid places, and groups of similar length."""

import torch

from model.nn.features import bucket_by_length, masked_mean


def test_masked_places_do_not_count_in_the_mean() -> None:
    features = torch.tensor([[[1.0], [3.0], [50.0]], [[7.0], [8.0], [9.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(features, mask).tolist() == [[2.0], [0.0]]


def test_groups_hold_every_row_once_in_order_of_length() -> None:
    lengths = torch.tensor([4, 1, 6, 2, 2, 5, 3])
    groups = bucket_by_length(torch.arange(6) < lengths[:, None], per_group=3)
    rows = torch.cat([rows for rows, _ in groups])
    assert sorted(rows.tolist()) == list(range(7))
    assert lengths[rows].tolist() == [1, 2, 2, 3, 4, 5, 6]
    assert [longest for _, longest in groups] == [2, 5, 6]


def test_a_length_reaches_to_the_last_valid_place_and_is_at_least_one() -> None:
    mask = torch.tensor([[True, False, False, True, False], [False] * 5])
    assert [longest for _, longest in bucket_by_length(mask, per_group=1)] == [1, 4]
