"""Run by `torchrun` in tests: each process trains its share of the toy batches and saves what it has in the end."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from model.config import ModelConfig
from model.nn.aahr import AAHR
from model.nn.features import LocalFeatures
from tests.toy import DIMENSIONS, toy_config, toy_dataset
from training import objective
from training.config import BatchConfig, TrainingConfig
from training.data.batches import Batch, plan_epoch
from training.distributed import Group, process_group
from training.loop import Trainer
from training.relation import FragmentScores, fragment_scores
from training.soft_positives import SentenceEmbeddings

STEPS = 9


def equal_config(**changes: object) -> TrainingConfig:
    """Every part on; no dropout and no augmentation in what each process draws for itself."""
    model = ModelConfig.model_validate({**toy_config().model.model_dump(), "dropout": 0.0})
    return toy_config(model=model, batch=BatchConfig(images=8, captions_per_image=2), **changes)


def train_toy(group: Group, config: TrainingConfig, dtype: torch.dtype) -> dict[str, Any]:
    """Losses of some steps over batches of 8 images with unequal numbers of captions, and all state afterwards.

    Some captions also hold for other images of a batch, those of other processes included.
    """
    dataset, tables = toy_dataset()
    generator = np.random.default_rng(0)
    strangers = np.stack([generator.integers(0, len(each), 60) for each in (dataset.captions, dataset)], axis=1)
    dataset = replace(dataset, also_holds=strangers[dataset.image_of_caption[strangers[:, 0]] != strangers[:, 1]])
    collate = replace(tables, dataset=dataset, augmentation=BatchConfig(drop_cells=0, change_words=0))
    torch.manual_seed(group.rank)  # the weights of the first process count
    torch.set_default_dtype(dtype)
    scores = partial(scores_as, dtype)
    trainer = Trainer(config, AAHR(config.model, DIMENSIONS, DIMENSIONS), STEPS, torch.device("cpu"), group)
    torch.manual_seed(1)
    plans = [plan for epoch in range(2) for plan in plan_epoch(dataset, config.batch, views=2, seed=0, epoch=epoch)]
    with mock.patch.object(objective, "fragment_scores", scores):
        losses = [trainer.train_step(as_type(collate(group.share(plan)), dtype)) for plan in plans[:STEPS]]
    torch.set_default_dtype(torch.float32)
    return {"losses": losses, "state": trainer.state_dict()}


def scores_as(dtype: torch.dtype, *arguments: Any, **named: Any) -> list[FragmentScores]:
    """The scores, which are always made in fp32, as the type that the run is in."""
    return [FragmentScores(*(part.to(dtype) for part in side)) for side in fragment_scores(*arguments, **named)]


def as_type(batch: Batch, dtype: torch.dtype) -> Batch:
    """The same batch with features of another type."""
    images, texts = (
        LocalFeatures(item.features.to(dtype), item.mask, item.global_features.to(dtype))
        for item in (batch.images, batch.texts)
        if isinstance(item, LocalFeatures)
    )
    assert batch.sentence_embeddings is not None
    sentence_embeddings = SentenceEmbeddings(*(part.to(dtype) for part in batch.sentence_embeddings))
    return batch._replace(images=images, texts=texts, sentence_embeddings=sentence_embeddings)


def main(out: Path, broken_rank: int | None) -> None:
    """Save this process's results as `out/<rank>.pt`; the process of `broken_rank` ends with an error after them."""
    torch.set_num_threads(1)
    with process_group() as (group, _):
        results = [train_toy(group, equal_config(), dtype) for dtype in (torch.float32, torch.float64)]
        torch.save(results, out / f"{group.rank}.pt")
        if broken_rank is not None:
            if group.rank == broken_rank:
                raise OSError("the disk of this process is gone")
            group.wait()  # for one that never comes


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
