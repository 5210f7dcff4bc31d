"""Batches: what a step sees, drawn from seed and epoch, and the size augmentation."""

from dataclasses import replace

import numpy as np
import torch

from model.nn.aahr import TokenBatch
from model.nn.features import LocalFeatures
from tests.toy import toy_dataset
from training.config import BatchConfig
from training.data.batches import change_words, drop_fragments, plan_epoch, steps_per_epoch


def test_an_epoch_shows_every_image_at_most_once_with_its_own_captions() -> None:
    dataset, _ = toy_dataset(images=43)
    batch = BatchConfig(images=8, captions_per_image=2)
    plans = plan_epoch(dataset, batch, views=2, seed=0, epoch=0)
    assert len(plans) == steps_per_epoch(dataset, batch) == 5
    seen = np.concatenate([plan.image_rows for plan in plans])
    assert len(np.unique(seen)) == len(seen) == 40
    for plan in plans:
        assert (dataset.image_of_caption[plan.caption_rows] == plan.image_rows[plan.image_of_caption]).all()
        captions = np.bincount(dataset.image_of_caption, minlength=43)[plan.image_rows]
        assert np.bincount(plan.image_of_caption).tolist() == np.minimum(captions, 2).tolist()
        assert len(np.unique(plan.caption_rows)) == len(plan.caption_rows)


def test_an_epoch_over_captions_shows_every_caption_once() -> None:
    dataset, _ = toy_dataset(images=48)  # one to three captions each
    batch = BatchConfig(images=8, captions_per_image=2, epoch_over="captions")
    plans = plan_epoch(dataset, batch, views=2, seed=0, epoch=0)
    with_three = int((np.bincount(dataset.image_of_caption) == 3).sum())
    assert len(plans) == steps_per_epoch(dataset, batch) == 6 + with_three // 8
    shown = np.concatenate([plan.caption_rows for plan in plans])
    assert len(np.unique(shown)) == len(shown) == len(dataset.captions) - with_three % 8
    for plan in plans:
        assert len(np.unique(plan.image_rows)) == 8
        assert (dataset.image_of_caption[plan.caption_rows] == plan.image_rows[plan.image_of_caption]).all()
    other = plan_epoch(dataset, batch, views=2, seed=0, epoch=1)
    assert [plan.caption_rows.tolist() for plan in other] != [plan.caption_rows.tolist() for plan in plans]


def test_plans_follow_from_seed_and_epoch_alone() -> None:
    dataset, _ = toy_dataset()
    batch = BatchConfig(images=8)

    def rows(seed: int, epoch: int) -> list[int]:
        return [
            int(row) for plan in plan_epoch(dataset, batch, views=2, seed=seed, epoch=epoch) for row in plan.image_rows
        ]

    assert rows(0, 3) == rows(0, 3)
    assert rows(0, 3) != rows(0, 4)
    assert rows(0, 3) != rows(1, 3)


def test_views_are_mixed_within_a_batch() -> None:
    dataset, collate = toy_dataset()
    plan = plan_epoch(dataset, collate.augmentation, views=2, seed=0, epoch=0)[0]
    batch = collate(plan)
    for position, (row, view) in enumerate(zip(plan.image_rows, plan.view_of_image, strict=True)):
        expected = torch.from_numpy(collate.views[view].batch(np.array([row])).features[0].numpy())
        torch.testing.assert_close(batch.images.features[position], expected)
    assert set(plan.view_of_image.tolist()) == {0, 1}


class CountingTable:
    """A table of equally many cells an image that remembers the rows it was asked for."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.rows: list[int] = []

    def batch(self, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> LocalFeatures:
        self.rows += rows.tolist()
        features = torch.from_numpy(rows)[:, None, None] + torch.zeros(len(rows), self.cells, 2) + 100 * self.cells
        return LocalFeatures(features, torch.ones(features.shape[:2], dtype=torch.bool), features.mean(1))


def test_only_the_chosen_view_of_an_image_is_read() -> None:
    dataset, collate = toy_dataset()
    views = (CountingTable(3), CountingTable(5), CountingTable(4))
    plan = plan_epoch(dataset, collate.augmentation, views=3, seed=0, epoch=0)[0]
    images = replace(collate, views=views, augmentation=BatchConfig(drop_cells=0, change_words=0))(plan).images
    assert set(plan.view_of_image.tolist()) == {0, 1, 2}
    for number, view in enumerate(views):
        assert view.rows == plan.image_rows[plan.view_of_image == number].tolist()
    cells = np.array([3, 5, 4])[plan.view_of_image]
    assert images.mask.sum(dim=1).tolist() == cells.tolist()
    assert images.global_features[:, 0].tolist() == (plan.image_rows + 100 * cells).tolist()


def test_words_are_replaced_by_words_and_never_by_the_marks_of_a_text() -> None:
    torch.manual_seed(0)
    ids = torch.randint(10, 1000, (400, 6))
    ids[:, 0], ids[:, 4], ids[:, 5] = 1, 2, 0
    mask = torch.ones_like(ids)
    mask[:, 5] = 0
    changed = change_words(TokenBatch(ids, mask), 0.9, mask_token=5).input_ids
    assert ((changed != ids) & (changed != 5)).sum() > 50, "some are replaced"
    assert not torch.isin(changed[:, 1:4], torch.tensor([0, 1, 2])).any()
    empty = TokenBatch(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.int64))
    assert torch.equal(change_words(empty, 0.9, mask_token=5).input_ids, empty.input_ids)


def test_dropping_hides_a_share_of_the_valid_and_keeps_the_first() -> None:
    torch.manual_seed(0)
    mask = torch.rand(200, 50) < 0.5
    mask[:, 0] = True
    item = LocalFeatures(torch.zeros(200, 50, 1), mask, torch.zeros(200, 1))
    kept = drop_fragments(item, 0.2).mask
    assert kept[:, 0].all()
    assert not (kept & ~mask).any()
    assert abs(float(kept.sum() / mask.sum()) - 0.8) < 0.03
    assert drop_fragments(item, 0.0) is item


def test_changed_words_are_masked_replaced_or_deleted_in_their_shares() -> None:
    torch.manual_seed(0)
    ids = torch.randint(10, 1000, (300, 40))
    ids[:, 0], ids[:, -1] = 1, 2
    tokens = TokenBatch(ids, torch.ones_like(ids))
    changed = change_words(tokens, 0.2, mask_token=5)
    words = 300 * 38
    masked = float((changed.input_ids == 5).sum()) / words
    deleted = float((changed.attention_mask == 0).sum()) / words
    replaced = float(((changed.input_ids != ids) & (changed.input_ids != 5)).sum()) / words
    assert abs(masked - 0.10) < 0.01
    assert abs(deleted - 0.08) < 0.01
    assert abs(replaced - 0.02) < 0.005
    assert torch.equal(changed.input_ids[:, [0, -1]], ids[:, [0, -1]])
    assert changed.attention_mask[:, [0, -1]].all()
    assert change_words(tokens, 0.0, mask_token=5) is tokens
