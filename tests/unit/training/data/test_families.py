"""Batches of whole families, and what the captions of scenes hold for besides their own image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import ConfigError, DataError
from tests.toy import toy_dataset
from training.config import BatchConfig
from training.data.batches import plan_epoch, steps_per_epoch
from training.data.dataset import ImageTextDataset, concatenate
from training.data.families import refuse_unfit_families
from training.data.karpathy import load_karpathy
from training.distributed import share_of_plan
from training.scenes import write_scenes
from training.scenes.truth import load_scene_truth, with_families


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("scenes")
    write_scenes(place, count=80, seed=0)
    return place


@pytest.fixture
def scenes(folder: Path) -> ImageTextDataset:
    file = folder / "scenes.json"
    return with_families(load_karpathy(file, folder / "images", "train"), file)


def in_families(sizes: list[int]) -> ImageTextDataset:
    dataset, _ = toy_dataset(images=sum(sizes))
    return replace(dataset, families=np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)) + 7, sizes)))


@pytest.mark.parametrize("sizes", [[4] * 20, [4] * 9 + [1] * 30, [4] * 10 + [3, 2], [8, 5, 3, 1, 1, 1, 1]])
@pytest.mark.parametrize("epoch_over", ["images", "captions"])
def test_families_are_whole_and_batches_are_full(sizes: list[int], epoch_over: str) -> None:
    dataset = in_families(sizes)
    batch = BatchConfig.model_validate({"images": 8, "whole_families": True, "epoch_over": epoch_over})
    plans = plan_epoch(dataset, batch, views=1, seed=0, epoch=0)
    assert len(plans) == steps_per_epoch(dataset, batch) > 0
    assert dataset.families is not None
    first_round = plans[: sum(sizes) // 8 if epoch_over == "images" else 1]
    for plan in first_round:
        assert len(np.unique(plan.image_rows)) == 8
        families, counts = np.unique(dataset.families[plan.image_rows], return_counts=True)
        assert counts.tolist() == [int((dataset.families == family).sum()) for family in families] or (
            epoch_over == "captions"
        )
    if epoch_over == "images":
        shown = np.concatenate([plan.image_rows for plan in plans])
        assert len(np.unique(shown)) == len(shown) >= sum(sizes) - 8


def test_which_families_share_a_batch_follows_from_seed_and_epoch() -> None:
    dataset, batch = in_families([4] * 20), BatchConfig(images=8, whole_families=True)

    def rows(seed: int, epoch: int) -> list[list[int]]:
        return [plan.image_rows.tolist() for plan in plan_epoch(dataset, batch, views=1, seed=seed, epoch=epoch)]

    assert rows(0, 1) == rows(0, 1)
    assert rows(0, 1) != rows(0, 2)
    assert rows(0, 1) != rows(1, 1)


def test_images_without_a_family_fill_batches_of_their_own() -> None:
    photographs, _ = toy_dataset(images=24)
    dataset = concatenate([photographs, in_families([4] * 6)])
    plans = plan_epoch(dataset, BatchConfig(images=8, whole_families=True), views=1, seed=0, epoch=0)
    assert len(plans) == 6
    assert sorted(len(set((plan.image_rows < 24).tolist())) for plan in plans) == [1] * 6


def test_a_batch_of_whole_families_holds_the_soft_negatives_of_its_captions(
    scenes: ImageTextDataset, folder: Path
) -> None:
    truth = load_scene_truth(folder / "scenes.json", scenes)
    soft = sum(truth.soft_negatives.values())  # [N, M]
    possible = soft.any(axis=0)

    def share(whole: bool) -> float:
        plans = plan_epoch(scenes, BatchConfig(images=16, whole_families=whole), views=1, seed=0, epoch=0)
        pairs = [(plan.image_rows, caption) for plan in plans for caption in plan.caption_rows if possible[caption]]
        return float(np.mean([soft[rows, caption].sum() == soft[:, caption].sum() for rows, caption in pairs]))

    assert share(whole=True) == 1.0
    assert share(whole=False) < 0.2


def test_the_dataset_knows_what_its_captions_hold_for(scenes: ImageTextDataset, folder: Path) -> None:
    holds = load_scene_truth(folder / "scenes.json", scenes).holds  # [N, M]
    known = np.zeros_like(holds)
    known[scenes.also_holds[:, 1], scenes.also_holds[:, 0]] = True
    known[scenes.image_of_caption, np.arange(len(scenes.captions))] = True
    assert (known == holds).all()
    rows = np.array([5, 2, 9])
    part = scenes.subset(rows)
    kept = {(scenes.caption_ids[c], scenes.image_ids[i]) for c, i in scenes.also_holds if i in rows}
    expected = {pair for pair in kept if pair[0] in part.caption_ids}
    assert {(part.caption_ids[c], part.image_ids[i]) for c, i in part.also_holds} == expected
    both = concatenate([part, scenes])
    assert len(both.also_holds) == len(part.also_holds) + len(scenes.also_holds)
    assert both.families is not None
    assert set(both.families[:3]).isdisjoint(both.families[3:])
    caption, image = both.also_holds[-1]
    assert both.captions[caption] == scenes.captions[scenes.also_holds[-1, 0]]
    assert both.image_paths[image] == scenes.image_paths[scenes.also_holds[-1, 1]]


def test_each_process_knows_its_captions_against_all_images_of_the_step(scenes: ImageTextDataset) -> None:
    (plan, *_) = plan_epoch(scenes, BatchConfig(images=16, whole_families=True), views=1, seed=0, epoch=0)
    for rank in range(2):
        assert share_of_plan(plan, rank, 2).joined_image_rows.tolist() == plan.image_rows.tolist()


def test_what_no_batch_can_hold_is_refused() -> None:
    batch = BatchConfig(images=8, whole_families=True)
    with pytest.raises(ConfigError, match="nothing says which images of toy are of one family: add drawn scenes"):
        refuse_unfit_families(toy_dataset()[0], batch)
    with pytest.raises(ConfigError, match=r"a family of 9 images, which a batch of batch\.images = 8 .* at least 9"):
        refuse_unfit_families(in_families([9, 4]), batch)
    refuse_unfit_families(in_families([8, 4]), batch)
    refuse_unfit_families(toy_dataset()[0], BatchConfig(images=8))


def test_files_that_say_nothing_of_families_are_refused(tmp_path: Path, scenes: ImageTextDataset) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"images": [], "dataset": "x"}')
    with pytest.raises(DataError):
        with_families(scenes, file)
