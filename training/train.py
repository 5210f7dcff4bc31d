"""`aahr train`: from a recipe to checkpoints, with the best epoch chosen on val."""

import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from model.descriptions import Source
from model.errors import ConfigError
from model.nn.aahr import AAHR
from model.replacement import recover_directory
from training.checkpoint import Progress, load_state, rounded_as_written, save_checkpoint
from training.config import TrainingConfig
from training.data.augmentation import views_of
from training.data.batches import Batch, BatchPlan, Collator, plan_epoch, steps_per_epoch
from training.data.dataset import ImageTextDataset
from training.data.sentence_embeddings import SentenceEmbeddingTable
from training.data.sources import (
    SplitFeatures,
    check_data,
    embed_captions,
    fit_reduction,
    join_splits,
    load_splits,
    source_of_descriptions,
)
from training.data.texts import mask_token_of
from training.device import device_of
from training.distributed import Draw, Group, process_group
from training.embed import embed_split
from training.loop import Trainer
from training.metrics import retrieval_metrics
from training.network import Backbones, build_network, load_backbones
from training.precision import refuse_unsupported
from training.prototypes import Prototypes
from training.run_log import RunLog
from training.semantics import fit_semantic_prototypes, fit_semantics

BEST, LAST = "best", "last"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the step in progress was finished and a checkpoint to resume was written."""


@dataclass
class Run:
    """A prepared run: everything that is loaded once. Only the first process of the group writes anything."""

    group: Group
    config: TrainingConfig
    directory: Path
    backbones: Backbones
    trainer: Trainer
    train: SplitFeatures
    val: Mapping[str, SplitFeatures]
    collate: Collator
    log: RunLog
    described_by: Source | None
    epoch: int = 0
    best: float = -np.inf

    @property
    def steps_per_epoch(self) -> int:
        """Optimisation steps in one pass over the training images."""
        return steps_per_epoch(self.train.dataset, self.config.batch) // self.config.batch.accumulate


def train(config: TrainingConfig, directory: Path, cache: Path, *, resume: bool = False) -> Path:
    """Train a recipe into a run directory; returns the path of the best checkpoint.

    Raises ConfigError before anything is computed where the recipe cannot run or the directory is taken, and
    TrainingError for a loss that is not finite. Ctrl-C leaves a checkpoint in `last` and raises Interrupted. Started by
    `torchrun`, each process encodes its share of every batch.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    with process_group() as (group, device):
        _check_start(config, directory, device, group, resume=resume)
        torch.manual_seed(config.seed)
        run = _prepare(config, directory, cache, device, group)
        if resume:
            _restore(run, load_state(directory / LAST))
        group.wait()
        with run.log if group.first else nullcontext(), _stop_requested() as stopped:
            while run.epoch < config.epochs:
                _train_epoch(run, lambda: group.any(stopped()))
    return directory / BEST


def _check_start(config: TrainingConfig, directory: Path, device: torch.device, group: Group, *, resume: bool) -> None:
    _check_directory(directory, resume=resume)
    refuse_unsupported(config.precision, device)
    if config.batch.images % group.size:
        raise ConfigError(
            f"batch.images = {config.batch.images} is the batch of all processes together and cannot be shared evenly "
            f"by {group.size}: choose {config.batch.images // group.size * group.size}, or another --nproc-per-node"
        )


def _check_directory(directory: Path, *, resume: bool) -> None:
    if resume and not recover_directory(directory / LAST):
        raise ConfigError(f"{directory} holds no run to resume: {directory / LAST} is missing; start without --resume")
    if not resume and directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} holds a run already: go on with --resume, or give another --out")


def _prepare(config: TrainingConfig, directory: Path, cache: Path, device: torch.device, group: Group) -> Run:
    backbones = load_backbones(config, device)
    with group.main_process_first():
        check_data(config, cache)
        train_splits = load_splits(config, "train", backbones, cache, views_of(config.batch))
        val_splits = load_splits(config, "val", backbones, cache)
        joined = join_splits(train_splits)
        embeddings = _sentence_embeddings(config, joined.dataset, backbones, cache)
    network = build_network(config, backbones)
    fit_reduction(network, joined.views[0], config.seed)
    if joined.semantics is not None:
        fit_semantics(network, joined.semantics)
    joined = joined.placed(network)
    val = {name: split.placed(network) for name, split in val_splits.items()}
    steps = _planned_steps(config, joined)
    trainer = Trainer(config, network, steps, device, group)
    if joined.semantics is not None:
        fit_semantic_prototypes(trainer.objective.semantic_prototypes, joined.semantics, config.seed)
    return Run(
        group=group,
        config=config,
        directory=directory,
        backbones=backbones,
        trainer=trainer,
        train=joined,
        val=val,
        collate=Collator(
            joined.dataset,
            joined.views,
            joined.texts,
            config.batch,
            mask_token_of(backbones),
            embeddings,
            joined.semantics,
        ),
        log=RunLog(directory, config, steps, processes=group.size, device=device),
        described_by=source_of_descriptions(config),
    )


def _sentence_embeddings(
    config: TrainingConfig, dataset: ImageTextDataset, backbones: Backbones, cache: Path
) -> SentenceEmbeddingTable | None:
    """What the soft positives are computed from, where the recipe has them."""
    if not config.objective.soft_positives.enabled:
        return None
    return embed_captions(dataset, backbones, cache)


def _planned_steps(config: TrainingConfig, train_split: SplitFeatures) -> int:
    """Steps of the whole run. Raises ConfigError for too few images, or for a queue that is full too late."""
    batch = config.batch
    steps = steps_per_epoch(train_split.dataset, batch) // batch.accumulate * config.epochs
    if steps == 0:
        raise ConfigError(
            f"{train_split.dataset.name} has {len(train_split.dataset)} images, fewer than batch.images = "
            f"{batch.images} times batch.accumulate = {batch.accumulate}: lower one of them"
        )
    momentum, keys = config.objective.momentum, batch.images * batch.accumulate
    if momentum.enabled and momentum.queue > 0.9 * steps * keys:
        raise ConfigError(
            f"objective.momentum.queue = {momentum.queue} is full after {momentum.queue / keys:.0f} of "
            f"{steps} steps, so that the part is active for less than a tenth of them: shorten it, or train longer"
        )
    return steps


def _restore(run: Run, state: Mapping[str, Any]) -> None:
    if state["config"] != run.config.model_dump_json():
        raise ConfigError(
            f"{run.directory} was started with another recipe; resume with the same one, or give another --out"
        )
    run.trainer.load_state_dict(state["trainer"])
    run.epoch, run.best = state["epoch"], state["best"]


def _train_epoch(run: Run, stopped: Callable[[], bool]) -> None:
    plans = plan_epoch(
        run.train.dataset, run.config.batch, views=len(run.train.views), seed=run.config.seed, epoch=run.epoch
    )
    means: defaultdict[str, list[float]] = defaultdict(list)
    for batches in _left_of(run, plans):
        parts = run.trainer.train_step(*(_collate(run, plan, place) for place, plan in enumerate(batches)))
        for name, value in parts.items():
            means[name].append(value)
        if run.group.first:
            run.log.step(run.trainer.step, run.epoch, parts)
        if stopped():
            _save_last(run)
            raise Interrupted(f"stopped at step {run.trainer.step}; go on with --resume --out {run.directory}")
    _finish_epoch(run, {name: float(np.mean(values)) for name, values in means.items()})


def _left_of(run: Run, plans: list[BatchPlan]) -> Iterator[list[BatchPlan]]:
    """The batches of each step of this epoch that is still to do: all, unless the run was stopped in the middle."""
    together = run.config.batch.accumulate
    for step in range(run.trainer.step - run.epoch * run.steps_per_epoch, run.steps_per_epoch):
        yield plans[step * together : (step + 1) * together]


def _collate(run: Run, plan: BatchPlan, place: int) -> Batch:
    """This process's share of a batch, augmented with random numbers of its own."""
    with run.group.forked_rng(Draw.AUGMENTATION, run.config.seed, run.trainer.step, place):
        return run.collate(run.group.share(plan))


def _finish_epoch(run: Run, parts: Mapping[str, float]) -> None:
    run.epoch += 1
    if run.group.first:
        _evaluate_epoch(run, parts)
    _save_last(run)


def _evaluate_epoch(run: Run, parts: Mapping[str, float]) -> None:
    with rounded_as_written(run.trainer.evaluated):
        evaluation = evaluate_splits(run.trainer.evaluated, run.val, run.trainer.objective.prototypes)
    score = evaluation[f"{run.config.select_on}/rsum"]
    if score > run.best:
        run.best = score
        save_checkpoint(
            run.directory / BEST,
            config=run.config,
            backbones=run.backbones,
            network=run.trainer.evaluated,
            progress=Progress(run.epoch, run.trainer.step, evaluation),
            described_by=run.described_by,
        )
    run.log.epoch(run.epoch, run.trainer.step, parts, evaluation, best=score == run.best)


def evaluate_splits(
    network: AAHR, splits: Mapping[str, SplitFeatures], prototypes: Prototypes | None = None
) -> dict[str, float]:
    """Metrics of every data set as `<data set>/<metric>`; with prototypes also what these have learnt."""
    found = {}
    for name, split in splits.items():
        images, texts = embed_split(network, split)
        metrics = retrieval_metrics(images @ texts.T, split.dataset.image_of_caption)
        if prototypes is not None:
            tensors = (torch.from_numpy(array) for array in (images, texts, split.dataset.image_of_caption))
            metrics |= prototypes.measure(*(tensor.to(device_of(prototypes)) for tensor in tensors))
        found.update({f"{name}/{metric}": value for metric, value in metrics.items()})
    return found


def _save_last(run: Run) -> None:
    """Leave everything that resuming needs; the others wait until the first process has written it."""
    if run.group.first:
        state = {
            "config": run.config.model_dump_json(),
            "trainer": run.trainer.state_dict(),
            "epoch": run.epoch,
            "best": float(run.best),
        }
        save_checkpoint(
            run.directory / LAST,
            config=run.config,
            backbones=run.backbones,
            network=run.trainer.evaluated,
            progress=Progress(run.epoch, run.trainer.step, {}),
            state=state,
            described_by=run.described_by,
        )
    run.group.wait()


@contextmanager
def _stop_requested() -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl-C (or SIGTERM) came: the step in progress is finished first."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        received.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
