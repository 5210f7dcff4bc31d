"""A toy training set without backbones: random features in which captions follow from images."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import FeatureDimensions, ImageBackboneConfig, ModelConfig, SemanticsConfig, TextBackboneConfig
from model.nn.aahr import AAHR
from training.config import BatchConfig, DataConfig, OptimiserConfig, TrainingConfig
from training.data.batches import Batch, Collator, plan_epoch
from training.data.dataset import ImageTextDataset
from training.data.semantics import SemanticTable
from training.data.sentence_embeddings import SentenceEmbeddingTable
from training.data.table import FeatureTable
from training.loop import Trainer
from training.objective_config import ObjectiveConfig

WIDTH = 12
DIMENSIONS = FeatureDimensions(local_dimension=WIDTH, global_dimension=WIDTH)


def toy_config(**changes: object) -> TrainingConfig:
    """Every part of AAHR on, in sizes that take milliseconds."""
    values: dict[str, object] = {
        "name": "toy",
        "epochs": 4,
        "select_on": "toy",
        "data": {"toy": DataConfig(captions=Path("toy.json"), images=Path("toy"))},
        "model": ModelConfig(
            image_backbone=ImageBackboneConfig(name="efficientnet-lite0"),
            text_backbone=TextBackboneConfig(name="minilm"),
            dimension=16,
            pooling_heads=4,
            relation_heads=4,
            head_width="split",
        ),
        "objective": ObjectiveConfig.model_validate(
            {
                "local_matching": {"enabled": True},
                "prototypes": {"start": 0.1, "count": 8},
                "relation": {"start": 0.2},
                "momentum": {"queue": 24, "momentum": 0.9},
                "soft_positives": {"enabled": True},
            }
        ),
        "optimiser": OptimiserConfig(learning_rate=5e-3, schedule="cosine", average=0.9),
        "batch": BatchConfig(images=8, captions_per_image=2, flips=True),
    }
    return TrainingConfig.model_validate({**values, **changes})


def semantic_config(semantics: SemanticsConfig, **changes: object) -> TrainingConfig:
    """The same with semantics fused."""
    model = toy_config().model.model_copy(update={"semantics": semantics})
    data = DataConfig(captions=Path("toy.json"), images=Path("toy"), descriptions=Path("toy.jsonl"))
    return toy_config(**{"model": model, "data": {"toy": data}, **changes})


def toy_dataset(images: int = 40, seed: int = 0, semantics: int | None = None) -> tuple[ImageTextDataset, Collator]:
    """Images with one to three captions each; a caption's features are its image's with noise.

    With `semantics`, of so many dimensions, all but the first image are described.
    """
    generator = np.random.default_rng(seed)
    count = generator.integers(1, 4, images)
    image_of_caption = np.repeat(np.arange(images), count)
    dataset = ImageTextDataset(
        name="toy",
        image_paths=tuple(Path(f"{row}.jpg") for row in range(images)),
        image_ids=np.arange(images) + 100,
        captions=tuple(f"caption {row}" for row in range(len(image_of_caption))),
        caption_ids=np.arange(len(image_of_caption)),
        image_of_caption=image_of_caption,
    )
    latent = generator.normal(size=(images, WIDTH))
    views = tuple(_table(latent, generator) for _ in range(2))
    texts = _table(latent[image_of_caption], generator)
    batch = BatchConfig(images=8, captions_per_image=2, drop_cells=0.2, change_words=0.2)
    sentence_embeddings = SentenceEmbeddingTable(texts.global_features, image_of_caption)
    table = None if semantics is None else toy_semantics(dataset, semantics, generator)
    return dataset, Collator(dataset, views, texts, batch, sentence_embeddings=sentence_embeddings, semantics=table)


def toy_semantics(dataset: ImageTextDataset, width: int, generator: np.random.Generator) -> SemanticTable:
    """Random unit vectors, the last row that of a missing description, which the first image has."""
    images = len(dataset)
    descriptions, captions = (_unit(generator.normal(size=(rows, width))) for rows in (images, len(dataset.captions)))
    of_image = np.arange(images) - 1
    return SemanticTable(descriptions, of_image, of_image[dataset.image_of_caption], captions)


def _unit(vectors: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _table(latent: np.ndarray[tuple[int, ...], np.dtype[np.float64]], generator: np.random.Generator) -> FeatureTable:
    cells = latent[:, None] + 0.3 * generator.normal(size=(len(latent), 5, WIDTH))
    return FeatureTable.of_regions(
        cells.astype(np.float32), np.arange(len(latent)), cells.mean(axis=1).astype(np.float32)
    )


def toy_trainer(config: TrainingConfig, steps: int) -> Trainer:
    """A trainer with a fresh network, seeded by the config."""
    torch.manual_seed(config.seed)
    width = None if config.model.semantics is None else config.model.dimension
    network = AAHR(config.model, DIMENSIONS, DIMENSIONS, sentence_dimension=width)
    return Trainer(config, network, steps, torch.device("cpu"))


def toy_batches(dataset: ImageTextDataset, collate: Collator, epochs: int) -> list[Batch]:
    """Batches of all epochs; augmentation draws from torch's generator as they are made."""
    plans = [
        plan
        for epoch in range(epochs)
        for plan in plan_epoch(dataset, collate.augmentation, views=2, seed=0, epoch=epoch)
    ]
    return [collate(plan) for plan in plans]
