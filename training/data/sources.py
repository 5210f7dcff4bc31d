"""From a recipe to what the loop reads: data sets with the inputs of the network for their images and captions."""

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from model.datasets.scan import REGIONS, ScanFiles, open_scan
from model.descriptions import Source, read_descriptions
from model.errors import DataError
from model.nn.aahr import AAHR, IMAGES_AT_ONCE
from model.nn.backbones import ImageTail
from model.nn.features import map_in_chunks
from model.nn.image_encoder import CellReduction
from training.config import DataConfig, TrainingConfig
from training.data.augmentation import PLAIN, View
from training.data.batches import TextSource
from training.data.dataset import ImageTextDataset, Split, concatenate
from training.data.described import semantic_table
from training.data.families import refuse_unfit_families
from training.data.features import image_feature_tables, text_feature_table
from training.data.formats import read_split
from training.data.karpathy import load_karpathy
from training.data.pca import fit_cell_pca
from training.data.scan import check_regions, region_table
from training.data.semantics import SemanticTable, join_semantics
from training.data.sentence_embeddings import SentenceEmbeddingTable
from training.data.table import FeatureTable, concatenate_tables
from training.data.texts import join_texts, text_source
from training.device import device_of, move
from training.network import Backbones
from training.scenes import generator_version, write_scenes
from training.scenes.truth import with_families

REDUCED_AT_ONCE = 256
IMAGES_OF_PCA = 1000
SPLITS_OF_TRAINING: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, eq=False)
class SplitFeatures:
    """One split with all inputs of the network; `views` are tables of augmented images, the first unchanged."""

    dataset: ImageTextDataset
    views: tuple[FeatureTable, ...]
    texts: TextSource
    semantics: SemanticTable | None = None

    def placed(self, network: AAHR) -> "SplitFeatures":
        """The same as the network takes it: cells reduced, sentence embeddings projected, both in memory."""
        reduced = self.reduced(network.cached_reduction)
        if network.semantics is None or self.semantics is None:
            return reduced
        return replace(reduced, semantics=self.semantics.placed(network.semantics))

    def reduced(self, reduction: CellReduction | None) -> "SplitFeatures":
        """The same with the cells reduced as the network does it, in memory; unchanged without a reduction."""
        if reduction is None:
            return self
        return replace(self, views=tuple(reduced_table(view, reduction) for view in self.views))


def load_splits(
    config: TrainingConfig, split: Split, backbones: Backbones, cache: Path, views: Sequence[View] = (PLAIN,)
) -> dict[str, SplitFeatures]:
    """One split of every data set of the recipe; features are computed where the cache lacks them."""
    return {name: _load_split(data, split, config, backbones, cache, views) for name, data in config.data.items()}


def check_data(config: TrainingConfig, cache: Path) -> None:
    """Read train and val of every data set before any feature is computed, which may take hours.

    Raises DataError for a split that is empty or missing, or files that do not fit, and ConfigError for missing
    global features and for families that no batch can hold.
    """
    for split in SPLITS_OF_TRAINING:
        read = [_read(data, split, cache) for data in config.data.values()]
        if split == "train":
            refuse_unfit_families(concatenate(read), config.batch)
        source_of_descriptions(config)
        for data in config.data.values():
            if config.model.image_backbone.name == REGIONS:
                check_regions(_scan(data, split), data.images, data.clip)


def source_of_descriptions(config: TrainingConfig) -> Source | None:
    """Who describes the images of a recipe, and later those of queries; those of training may be by another prompt.

    Raises DataError for a file that is not one of descriptions, and for files of several describers.
    """
    for training in (data.training_descriptions for data in config.data.values()):
        if training is not None:
            read_descriptions(training)
    files = [read_descriptions(data.descriptions) for data in config.data.values() if data.descriptions is not None]
    for file in files[1:]:
        if file.source != files[0].source:
            raise DataError(
                f"{file.path} is by {file.source.describer} with prompt {file.source.prompt_hash}, {files[0].path} by "
                f"{files[0].source.describer} with {files[0].source.prompt_hash}: a model learns from one describer"
            )
    return files[0].source if files else None


def _load_split(
    data: DataConfig, split: Split, config: TrainingConfig, backbones: Backbones, cache: Path, views: Sequence[View]
) -> SplitFeatures:
    dataset = _read(data, split, cache)
    if backbones.image.preprocessing is None:
        tables: tuple[FeatureTable, ...] = (region_table(_scan(data, split), data.images, data.clip, cache),)
    else:
        shown = views if data.may_be_changed else [PLAIN] * len(views)
        tables = image_feature_tables(backbones.image, dataset.image_paths, cache, shown)
    fine_tuned = config.model.text_backbone.trainable
    texts = text_source(dataset.captions, backbones, cache, fine_tuned=fine_tuned)
    return SplitFeatures(dataset, tables, texts, _semantics(data, dataset, backbones, cache))


def _semantics(data: DataConfig, dataset: ImageTextDataset, backbones: Backbones, cache: Path) -> SemanticTable | None:
    """Sentence embeddings of a split, where the recipe fuses them."""
    if backbones.sentence is None:
        return None
    described = None if data.descriptions is None else read_descriptions(data.descriptions)
    return semantic_table(dataset, _image_folder(data, cache), described, backbones.sentence, cache)


def _image_folder(data: DataConfig, cache: Path) -> Path:
    """What the paths in a file of descriptions start from."""
    if data.format == "scenes":
        return drawn_scenes(data, cache) / "images"
    folder = data.images or data.directory
    assert folder is not None  # the recipe was checked
    return folder


def _read(data: DataConfig, split: Split, cache: Path) -> ImageTextDataset:
    """The images and captions of a split."""
    if data.format == "scenes":
        directory = drawn_scenes(data, cache)
        scenes = directory / "scenes.json"
        return with_families(load_karpathy(scenes, directory / "images", split), scenes)
    assert data.source is not None
    return read_split(data.source, data.images, split, data.format)


def drawn_scenes(data: DataConfig, cache: Path) -> Path:
    """The folder of a data set of drawn scenes, which are drawn once, by one process at a time."""
    directory = cache / "scenes" / f"{data.count}-{data.seed}-{generator_version()}"
    with _exclusive(directory.with_suffix(".lock")):
        if not (directory / "scenes.json").exists():
            write_scenes(directory, count=data.count, seed=data.seed)
    return directory


@contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    """Run the block in one process (and thread) of the machine at a time; a process that ends releases the lock."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _scan(data: DataConfig, split: Split) -> ScanFiles:
    assert data.directory is not None
    return open_scan(data.directory, split)


def embed_captions(dataset: ImageTextDataset, backbones: Backbones, cache: Path) -> SentenceEmbeddingTable:
    """Sentence embeddings by the text backbone as it is before training; what the cache lacks is computed.

    Call it before the backbone is trained.
    """
    features = text_feature_table(backbones.text, backbones.text.read_tokenizer(), dataset.captions, cache)
    return SentenceEmbeddingTable(features.global_features, dataset.image_of_caption)


def reduced_table(cells: FeatureTable, reduction: CellReduction) -> FeatureTable:
    """Cells of images through the network's own reduction, float16 in memory, a few hundred images at a time."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(cells), REDUCED_AT_ONCE):
            rows = np.arange(start, min(start + REDUCED_AT_ONCE, len(cells)))
            features = cells.batch(rows).features.to(device_of(reduction))
            parts.append(reduction(features).half().cpu().numpy())
    return FeatureTable.of_regions(np.concatenate(parts), np.arange(len(cells)), cells.global_features)


def fit_reduction(network: AAHR, cells: FeatureTable, seed: int) -> None:
    """Fit the PCA of a network that has one on images of the training split, and keep it in the network."""
    reduction = network.reduction
    if reduction is None:
        return
    if network.image_tail is not None:
        cells = _tail_outputs(network.image_tail, cells, seed)
    mean, basis = fit_cell_pca(cells, reduction.basis.shape[1], seed=seed)
    reduction.mean.copy_(torch.from_numpy(mean))
    reduction.basis.copy_(torch.from_numpy(basis))


def _tail_outputs(tail: ImageTail, cells: FeatureTable, seed: int) -> FeatureTable:
    """The output of the blocks to be fine-tuned for some of the images, before training."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(cells))[:IMAGES_OF_PCA])
    with torch.inference_mode():
        found = move(map_in_chunks(tail, move(cells.batch(rows), device_of(tail)), IMAGES_AT_ONCE), torch.device("cpu"))
    return FeatureTable.of_regions(found.features.half().numpy(), np.arange(len(rows)), found.global_features.numpy())


def join_splits(splits: Mapping[str, SplitFeatures]) -> SplitFeatures:
    """All data sets of a recipe as one; image ids stay apart."""
    parts = list(splits.values())
    if len(parts) == 1:
        return parts[0]
    dataset = concatenate([part.dataset for part in parts])
    views = tuple(concatenate_tables(same_view) for same_view in zip(*(part.views for part in parts), strict=True))
    tables = [part.semantics for part in parts if part.semantics is not None]
    return SplitFeatures(
        dataset, views, join_texts([part.texts for part in parts]), join_semantics(tables) if tables else None
    )
