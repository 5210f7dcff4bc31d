"""SCAN's format as training reads it: captions with their images, regions beside CLIP's embeddings of the images."""

import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.datasets.scan import GLOBAL_DIMENSION, ScanFiles, open_scan, scan_splits
from model.errors import ConfigError, DataError
from model.nn.backbones import load_image_backbone
from model.nn.backbones.clip import EMBEDDING
from training.data.dataset import ImageTextDataset, refuse_missing_images
from training.data.features import image_feature_table
from training.data.table import FeatureTable
from training.device import default_device


def scan_dataset(files: ScanFiles, images: Path | None = None) -> ImageTextDataset:
    """The images and captions of a split.

    With `images`, a folder, `image_paths` are the raw images by `id_mapping.json`, else names made of array and id.
    Raises DataError for images that are not there.
    """
    return ImageTextDataset(
        name=f"{files.directory.name} {files.prefix}",
        image_paths=scan_images(files, images) if images else _names(files),
        image_ids=files.image_ids,
        captions=files.captions,
        caption_ids=np.arange(len(files.captions)),
        image_of_caption=np.repeat(np.arange(len(files)), files.per_image),
    )


def scan_images(files: ScanFiles, images: Path) -> tuple[Path, ...]:
    """The raw image file of each image; raises DataError that counts those that are not below `images`."""
    paths = tuple(images / name for name in files.image_names())
    refuse_missing_images(paths, images, f"{files.prefix} of {files.directory}")
    return paths


def check_regions(files: ScanFiles, images: Path | None, clip: Path | None) -> None:
    """Raise DataError or ConfigError for arrays that do not fit or cannot be made; computes nothing."""
    files.regions()
    if files.global_features() is None:
        _images_and_clip(files, images, clip)


def region_table(files: ScanFiles, images: Path | None, clip: Path | None, cache: Path) -> FeatureTable:
    """The regions of a split with CLIP's embeddings of the raw images.

    Where `{split}_clip.npy` is absent, the model in the directory `clip` computes them from the images below
    `images`, once into the cache. Raises ConfigError where there is neither, and DataError for files that do not fit.
    """
    regions = files.regions()
    global_features = files.global_features()
    if global_features is None:
        paths, model = _images_and_clip(files, images, clip)
        global_features = clip_features(paths, model, cache)
    return FeatureTable.of_regions(regions.values, regions.rows, global_features)


def clip_features(images: Sequence[Path], clip: Path, cache: Path) -> NDArray[np.float32]:
    """CLIP's embeddings of images, [N, 512]; raises ConfigError for a model of another width."""
    backbone = load_image_backbone(EMBEDDING, clip).to(default_device())
    if backbone.global_dimension != GLOBAL_DIMENSION:
        raise ConfigError(
            f"{clip} holds a CLIP with embeddings of {backbone.global_dimension}, regions go with those of "
            f"{GLOBAL_DIMENSION}: put CLIP ViT-B/32 there"
        )
    return image_feature_table(backbone, images, cache).global_features


def write_clip_features(directory: Path, images: Path, clip: Path, cache: Path) -> list[Path]:
    """Write `{split}_clip.npy` for every split of a directory that lacks it, for readers without torch.

    Raises DataError for a directory without any split or that cannot be written to, and as `clip_features` does.
    """
    missing = [files for files in _splits_of(directory) if not files.clip_file.exists()]
    for files in missing:
        _save(files.clip_file, clip_features(scan_images(files, images), clip, cache))
    return [files.clip_file for files in missing]


def _splits_of(directory: Path) -> list[ScanFiles]:
    splits = scan_splits(directory)
    if not splits:
        raise DataError(f"{directory} holds no {{split}}_caps.txt: give a directory in SCAN's format")
    return [open_scan(directory, split) for split in splits]


def _save(file: Path, array: NDArray[np.float32]) -> None:
    """Write an array in one rename."""
    staging = file.with_name(f".{file.stem}.{uuid.uuid4().hex}.npy")
    try:
        np.save(staging, array)
        staging.replace(file)
    except OSError as error:
        raise DataError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        staging.unlink(missing_ok=True)


def _names(files: ScanFiles) -> tuple[Path, ...]:
    return tuple(files.regions_file / str(number) for number in files.image_ids)


def _images_and_clip(files: ScanFiles, images: Path | None, clip: Path | None) -> tuple[tuple[Path, ...], Path]:
    if images is None or clip is None:
        raise ConfigError(
            f"{files.clip_file} is not there: put CLIP ViT-B/32 embeddings of the raw images there, one row per "
            "image (`aahr data clip` makes them), or set `images` and `clip` of the data set, the folder of the "
            "images and a directory with CLIP"
        )
    return scan_images(files, images), clip
