"""From a recipe to what the loop reads: data sets, cached features of frozen backbones, tokens for trained ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model.errors import ConfigError
from model.nn.aahr import TokenBatch
from model.nn.image_encoder import CellReduction
from model.preprocess import TextTokenizer, Tokens
from model.scan import REGIONS, ScanFiles, open_scan
from training.checkpoint import Backbones
from training.config import DataConfig, TrainingConfig
from training.data.batches import TextSource
from training.data.dataset import ImageTextDataset, Split, concatenate
from training.data.features import image_feature_table, text_feature_table
from training.data.karpathy import load_karpathy
from training.data.pca import fit_cell_pca
from training.data.scan import check_regions, region_table, scan_dataset
from training.data.scenes import write_scenes
from training.data.table import FeatureTable, concatenate_tables

PICTURES_AT_ONCE = 256
SPLITS_OF_TRAINING: tuple[Split, ...] = ("train", "val")


class TokenTable:
    """Token ids of captions, for a text backbone that is trained along."""

    def __init__(self, tokens: Tokens) -> None:
        self._ids = torch.from_numpy(tokens.input_ids)
        self._mask = torch.from_numpy(tokens.attention_mask)

    def batch(self, rows: NDArray[np.int64]) -> TokenBatch:
        """Ids and mask [M, T] of the rows, cut to the longest of them."""
        chosen = torch.from_numpy(rows)
        mask = self._mask[chosen]
        longest = int(mask.sum(dim=1).max())
        return TokenBatch(self._ids[chosen, :longest], mask[:, :longest])


@dataclass(frozen=True, eq=False)
class SplitFeatures:
    """One split with everything that the network sees of it. `views` are differently seen pictures, the first plain."""

    dataset: ImageTextDataset
    views: tuple[FeatureTable, ...]
    texts: TextSource

    def reduced(self, reduction: CellReduction | None) -> "SplitFeatures":
        """The same with the cells reduced as the network does it, in memory; unchanged without a reduction."""
        if reduction is None:
            return self
        return replace(self, views=tuple(reduced_table(view, reduction) for view in self.views))


def load_splits(
    config: TrainingConfig, split: Split, backbones: Backbones, cache: Path, *, flips: bool
) -> dict[str, SplitFeatures]:
    """One split of every data set of the recipe; features are computed where the cache lacks them."""
    return {name: _load_split(data, split, config, backbones, cache, flips=flips) for name, data in config.data.items()}


def check_data(config: TrainingConfig, cache: Path) -> None:
    """Read train and val of every data set before any feature is computed, which may take hours.

    Raises DataError for a split that is empty or missing, or files that do not fit, and ConfigError for global
    features that nothing gives.
    """
    for data in config.data.values():
        for split in SPLITS_OF_TRAINING:
            _read(data, split, cache)
            if config.model.image_backbone.name == REGIONS:
                check_regions(_scan(data, split), data.images, data.clip)


def _load_split(
    data: DataConfig, split: Split, config: TrainingConfig, backbones: Backbones, cache: Path, *, flips: bool
) -> SplitFeatures:
    dataset = _read(data, split, cache)
    if backbones.image.preprocessing is None:
        views: tuple[FeatureTable, ...] = (region_table(_scan(data, split), data.images, data.clip, cache),)
    else:
        views = picture_views(dataset.image_paths, backbones, cache, flips=flips)
    return SplitFeatures(dataset, views, _texts(dataset.captions, config, backbones, cache))


def picture_views(
    paths: tuple[Path, ...], backbones: Backbones, cache: Path, *, flips: bool
) -> tuple[FeatureTable, ...]:
    """Features of pictures, and of their mirror images where asked for."""
    plain = image_feature_table(backbones.image, paths, cache)
    return (plain, image_feature_table(backbones.image, paths, cache, flip=True)) if flips else (plain,)


def _read(data: DataConfig, split: Split, cache: Path) -> ImageTextDataset:
    """The images and captions of a split."""
    if data.format == "scan":
        return scan_dataset(_scan(data, split), data.images)
    if data.format == "scenes":
        directory = cache / "scenes" / f"{data.count}-{data.seed}"
        if not (directory / "scenes.json").exists():
            write_scenes(directory, count=data.count, seed=data.seed)
        return load_karpathy(directory / "scenes.json", directory / "images", split)
    assert data.captions is not None
    assert data.images is not None
    return load_karpathy(data.captions, data.images, split)


def _scan(data: DataConfig, split: Split) -> ScanFiles:
    assert data.directory is not None
    return open_scan(data.directory, split)


def _texts(captions: tuple[str, ...], config: TrainingConfig, backbones: Backbones, cache: Path) -> TextSource:
    tokenizer = TextTokenizer(backbones.text.tokenizer_file, backbones.text.preprocessing.max_length)
    if config.model.text_backbone.trainable:
        return TokenTable(tokenizer(captions))
    return text_feature_table(backbones.text, tokenizer, captions, cache)


def reduced_table(cells: FeatureTable, reduction: CellReduction) -> FeatureTable:
    """Pictures' cells through the network's own reduction, float16 in memory, a few hundred pictures at a time."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(cells), PICTURES_AT_ONCE):
            rows = np.arange(start, min(start + PICTURES_AT_ONCE, len(cells)))
            parts.append(reduction(cells.batch(rows).features).half().numpy())
    return FeatureTable.of_regions(np.concatenate(parts), np.arange(len(cells)), cells.global_features)


def mask_token_of(backbones: Backbones) -> int | None:
    """The id of [MASK], which hides words of a text backbone that is trained along; None where it has no such token."""
    token: int | None = Tokenizer.from_file(str(backbones.text.tokenizer_file)).token_to_id("[MASK]")
    return token


def fit_reduction(reduction: CellReduction, cells: FeatureTable, seed: int) -> None:
    """Fit the PCA on pictures of the training split and keep it in the network."""
    mean, basis = fit_cell_pca(cells, reduction.basis.shape[1], seed=seed)
    reduction.mean.copy_(torch.from_numpy(mean))
    reduction.basis.copy_(torch.from_numpy(basis))


def join_splits(splits: Mapping[str, SplitFeatures]) -> SplitFeatures:
    """All data sets of a recipe as one; image ids stay apart."""
    parts = list(splits.values())
    if len(parts) == 1:
        return parts[0]
    dataset = concatenate([part.dataset for part in parts])
    views = tuple(concatenate_tables(same_view) for same_view in zip(*(part.views for part in parts), strict=True))
    return SplitFeatures(dataset, views, _join_texts([part.texts for part in parts]))


def _join_texts(sources: list[TextSource]) -> TextSource:
    tables = [source for source in sources if isinstance(source, FeatureTable)]
    if len(tables) == len(sources):
        return concatenate_tables(tables)
    raise ConfigError("several data sets with a trainable text backbone: train on one of them, or freeze it")
