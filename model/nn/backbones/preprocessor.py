"""The image processor of a directory of `transformers`, as our own preprocessing does the same; else it is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from model.errors import ConfigError
from model.nn.backbones.pretrained import required_file
from model.preprocess import ImagePreprocessing

PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # where `transformers` 5 keeps it when a whole processor is saved
_RESAMPLING = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_RESCALE_TOLERANCE = 1e-8

Settings = Mapping[str, Any]


def read_image_preprocessing(directory: Path, image_size: int, name: str) -> ImagePreprocessing:
    """What the image processor of the model `name` does, for a network that takes squares of `image_size` pixels.

    Raises ConfigError for a file that is missing, that is not such a configuration, or that asks for what
    ImagePreprocessing cannot say: another scale than 0 to 1, a resize without a square, a padded crop.
    """
    file, settings = _settings(directory, name)
    try:
        _refuse_other_steps(file, settings)
        mean, std = _statistics(settings)
        return ImagePreprocessing(
            size=image_size,
            mean=mean,
            std=std,
            resize=_resize(file, settings, image_size),
            interpolation=_RESAMPLING[settings["resample"]],
        )
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        label = {"clip": "CLIP", "siglip": "SigLIP"}.get(name, name)
        raise ConfigError(f"{file} is not the configuration of {label}'s image processor: {error!r:.120}") from error


def _settings(directory: Path, name: str) -> tuple[Path, Settings]:
    whole = directory / PROCESSOR
    own = directory / PREPROCESSOR
    file = whole if whole.is_file() and not own.is_file() else required_file(directory, PREPROCESSOR, name)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        settings = found["image_processor"] if file == whole else found
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} holds no configuration of an image processor: {error!r:.120}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{file} holds no configuration of an image processor: {settings!r:.60} in its place")
    return file, settings


def _refuse_other_steps(file: Path, settings: Settings) -> None:
    """Steps that are left out or differ: the pixels would be others than those of training."""
    for step in ("do_resize", "do_rescale"):
        if not settings.get(step, True):
            raise ConfigError(f"{file} says {step} = false, but images of every size and 0 to 255 come in here")
    if settings.get("do_pad"):
        raise ConfigError(f"{file} says do_pad = true: images are resized to a square here, never padded")
    if abs(float(settings.get("rescale_factor", 1 / 255)) - 1 / 255) > _RESCALE_TOLERANCE:
        raise ConfigError(
            f"{file} rescales pixels by {settings['rescale_factor']}; only 1/255 is known, for pixels from 0 to 1"
        )


def _statistics(settings: Settings) -> tuple[Any, Any]:
    """Mean and standard deviation of each channel, on the 0-1 scale."""
    if not settings.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return settings["image_mean"], settings["image_std"]


def _resize(file: Path, settings: Settings, image_size: int) -> Literal["squash", "crop"]:
    """How an image becomes a square. CLIP keeps its shape and crops, SigLIP squashes.

    Bare numbers, of older files, are the shortest edge.
    """
    size, crop = settings["size"], settings.get("crop_size")
    crops = bool(settings.get("do_center_crop", crop is not None))
    squashes = isinstance(size, dict) and "shortest_edge" not in size
    sizes = {*_sides(size), *(_sides(crop) if crops else ()), image_size}
    if len(sizes) > 1:
        raise ConfigError(
            f"{file} resizes and crops to {sorted(sizes)}; only one size, the model's {image_size}, is known"
        )
    if not squashes and not crops:
        raise ConfigError(
            f"{file} resizes the shortest edge to {image_size} without a crop, which gives no square; only a centre "
            "crop or a resize to height and width is known"
        )
    return "squash" if squashes else "crop"


def _sides(size: Any) -> set[int]:
    if not isinstance(size, dict):
        return {int(size)}
    if "shortest_edge" in size:
        return {int(size["shortest_edge"])}
    return {int(size["height"]), int(size["width"])}
