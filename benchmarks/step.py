"""The time of a full training step by part: encoders, momentum copy, every part of the objective, backward, optimiser.

    python benchmarks/step.py --json OUT [--device cuda]

Real steps of the real `Trainer` with all parts of the paper active. `paper-f30k` (D 1024, 36 regions) and
`mini-frozen` get random features of their shapes, without backbones, also where BERT is fine-tuned; `mini` is timed
with the backbones that it trains, in bf16 and in fp32, on random cells and words.
"""

import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

import training.objective as objective_module
from model.config import FeatureDimensions, ModelConfig
from model.nn.aahr import AAHR, TokenBatch
from model.nn.features import LocalFeatures
from training.config import TrainingConfig, load_config
from training.data.batches import Batch
from training.loop import Trainer
from training.network import Backbones, build_network, load_backbones

RECIPES = Path(__file__).resolve().parent.parent / "training" / "configs"
STEP_ROUNDS = 3
PLANNED_STEPS = 1000
SHORTEST, WORDS = 8, 32
SMALLEST_TOKEN, LARGEST_TOKEN = 1000, 30000
"""Of MiniLM's vocabulary, without its special tokens."""


@dataclass(frozen=True)
class Features:
    """The features that the backbones of a recipe return."""

    cells: int
    image: FeatureDimensions
    text: FeatureDimensions


@dataclass(frozen=True)
class Timed:
    """A recipe, and the features that stand for its backbones; without them the trained backbones are timed as well."""

    recipe: str
    features: Features | None = None
    settings: tuple[str, ...] = ()


TIMED = {
    "paper-f30k": Timed(
        "paper-f30k",
        Features(
            cells=36,
            image=FeatureDimensions(local_dimension=2048, global_dimension=512),
            text=FeatureDimensions(local_dimension=768, global_dimension=512),
        ),
    ),
    "mini-frozen": Timed(
        "mini-frozen",
        Features(
            cells=49,
            image=FeatureDimensions(local_dimension=1280, global_dimension=1280),
            text=FeatureDimensions(local_dimension=384, global_dimension=384),
        ),
    ),
    "mini, bf16": Timed("mini", settings=("precision=bf16",)),
    "mini, fp32": Timed("mini", settings=("precision=fp32",)),
}


@dataclass
class Stopwatch:
    """Seconds by part; what a part calls that has a name of its own counts there alone, as "outer / inner"."""

    device: torch.device
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _running: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside under this name."""
        self._lap()
        self._running.append(f"{self._running[-1]} / {name}" if len(self._running) > 1 else name)
        try:
            yield
        finally:
            self._lap()
            self._running.pop()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, counted under a name."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return call(*args, **kwargs)

        return timed

    def _lap(self) -> None:
        synchronise(self.device)
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def main(
    json_file: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Of torch, on the CPU.")] = 2,
    rounds: Annotated[int, typer.Option(help="Steps to time.")] = STEP_ROUNDS,
) -> None:
    """Time the steps and write the figures."""
    torch.set_num_threads(threads)
    report = step_report(torch.device(device), rounds)
    json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


def step_report(device: torch.device, rounds: int) -> dict[str, Any]:
    """Median seconds of a step and of its parts, for every recipe."""
    return {name: _time_steps(timed, device, rounds) for name, timed in TIMED.items()}


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _time_steps(timed: Timed, device: torch.device, rounds: int) -> dict[str, Any]:
    torch.manual_seed(0)
    config = load_config(RECIPES / f"{timed.recipe}.toml", timed.settings)
    if timed.features is None:
        backbones = load_backbones(config)
        network, images, texts = build_network(config, backbones), _stem_cells(config, backbones), _tokens(config)
    else:
        network = AAHR(config.model, timed.features.image, timed.features.text)
        images, texts = _image_features(config, timed.features), _word_features(config, timed.features)
    trainer = _trainer(config, network, device)
    batch = _batch(config, images, texts)
    rows = []
    for turn in range(rounds + 1):
        watch = Stopwatch(device)
        with _watched(trainer, watch), watch.part("rest"):
            trainer.train_step(batch)
        if turn:  # the first step does not count: it allocates the state of the optimiser
            rows.append(dict(watch.seconds))
    parts = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return {
        "seconds": statistics.median(sum(row.values()) for row in rows),
        "parts": {name: parts[name] for name in sorted(parts, key=parts.__getitem__, reverse=True)},
        "dimension": config.model.dimension,
        "images": config.batch.images,
        "captions": len(batch.image_of_caption),
        "cells": batch.images.mask.shape[1],
    }


def _trainer(config: TrainingConfig, network: AAHR, device: torch.device) -> Trainer:
    """A trainer whose parts are all active, with full queues."""
    objective = config.objective.model_copy(
        update={
            "prototypes": config.objective.prototypes.model_copy(update={"start": 0.0}),
            "relation": config.objective.relation.model_copy(update={"start": 0.0}),
        }
    )
    config = config.model_copy(update={"objective": objective})
    trainer = Trainer(config, network, PLANNED_STEPS, device)
    momentum = trainer.objective.momentum
    assert momentum is not None
    for queue in (momentum.image_queue, momentum.text_queue):
        keys = F.normalize(torch.randn(queue.length, config.model.dimension), dim=-1)
        queue.push(keys.to(device), torch.full((queue.length,), -1, device=device))
    return trainer


def _batch(config: TrainingConfig, images: LocalFeatures, texts: LocalFeatures | TokenBatch) -> Batch:
    image_of_caption = torch.arange(config.batch.images).repeat_interleave(config.batch.captions_per_image)
    return Batch(images, texts, image_of_caption, torch.arange(config.batch.images))


def _image_features(config: TrainingConfig, features: Features) -> LocalFeatures:
    """Images as they leave the backbone and the reduction."""
    cells, width = _seen(config.model, features)
    images = config.batch.images
    return LocalFeatures(
        torch.randn(images, cells, width),
        torch.ones(images, cells, dtype=torch.bool),
        torch.randn(images, features.image.global_dimension),
    )


def _word_features(config: TrainingConfig, features: Features) -> LocalFeatures:
    """Captions as they leave the backbone."""
    mask = _word_mask(config)
    captions, words = mask.shape
    return LocalFeatures(
        torch.randn(captions, words, features.text.local_dimension),
        mask,
        torch.randn(captions, features.text.global_dimension),
    )


def _stem_cells(config: TrainingConfig, backbones: Backbones) -> LocalFeatures:
    """Images as they leave the frozen blocks of the image backbone."""
    preprocessing = backbones.image.preprocessing
    assert preprocessing is not None
    with torch.no_grad():
        found: LocalFeatures = backbones.image(
            torch.randn(config.batch.images, 3, preprocessing.size, preprocessing.size)
        )
    return found


def _tokens(config: TrainingConfig) -> TokenBatch:
    mask = _word_mask(config)
    return TokenBatch(torch.randint(SMALLEST_TOKEN, LARGEST_TOKEN, mask.shape), mask.long())


def _word_mask(config: TrainingConfig) -> Tensor:
    """Captions of 8 to 32 words."""
    captions = config.batch.images * config.batch.captions_per_image
    return torch.arange(WORDS) < torch.randint(SHORTEST, WORDS + 1, (captions, 1))


def _seen(model: ModelConfig, features: Features) -> tuple[int, int]:
    """Cells of an image and their width behind the reduction, which is computed once and cached."""
    side = model.cell_grid or math.isqrt(features.cells)
    cells = side**2 if model.cell_grid else features.cells
    return cells, model.cell_components or features.image.local_dimension


@contextmanager
def _watched(trainer: Trainer, watch: Stopwatch) -> Iterator[None]:
    """Count every part of a step under its name."""
    network, objective = trainer.network, trainer.objective
    relation, momentum = objective.relation, objective.momentum
    assert relation is not None
    assert momentum is not None
    slow = momentum.copy
    named: list[tuple[str, Any, str]] = [
        ("encode images", network, "encode_images"),
        ("encode texts", network, "encode_texts"),
        ("momentum copy: encode", slow.encoder, "encode_images"),
        ("momentum copy: encode", slow.encoder, "encode_texts"),
        ("momentum copy: update", slow, "update"),
        ("matching", objective, "matching"),
        ("prototypes", objective.prototypes, "forward"),
        ("momentum contrast", momentum, "forward"),
        ("relation", relation, "forward"),
        ("correlations", objective_module, "fragment_scores"),
        ("relevance", relation.image_relevance, "forward"),
        ("relevance", relation.text_relevance, "forward"),
        ("GCN", relation.enhancement, "convolve"),
        ("graph attention", relation.enhancement.attention, "forward"),
        ("matching", relation, "matching"),
        ("KL", objective_module, "relevance_divergence"),
        ("backward", torch.Tensor, "backward"),
        ("optimiser", trainer.optimiser, "step"),
    ]
    if network.image_tail is not None:
        named.append(("image blocks", network.image_tail, "forward"))
    if network.text_backbone is not None:
        named.append(("text backbone", network.text_backbone, "forward"))
    with ExitStack() as stack:
        for name, owner, attribute in named:
            timed = watch.around(name, getattr(owner, attribute))
            stack.enter_context(patch.object(owner, attribute, timed))
        yield


if __name__ == "__main__":
    typer.run(main)
