"""Augmented views of images. A frozen network's features of them are cached, so each view is a fixed one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from training.config import BatchConfig

SMALLEST_AREA = 0.5
LARGEST_STRETCH = 0.25
"""Natural logarithm of width to height, beside that of the image."""


class View(NamedTuple):
    """An image as it is, mirrored, or cropped at random, seeded by this number and the image."""

    mirrored: bool = False
    crop: int | None = None


PLAIN = View()


def views_of(batch: BatchConfig) -> tuple[View, ...]:
    """The views that a recipe trains on; the first is the image as it is."""
    mirrored = (View(mirrored=True),) if batch.flips else ()
    return (PLAIN, *mirrored, *(View(crop=number) for number in range(batch.crops)))


def key_of_view(view: View) -> dict[str, Any]:
    """Everything that decides what `apply_view` returns, for the key of cached features."""
    drawn_from = {} if view.crop is None else {"smallest_area": SMALLEST_AREA, "largest_stretch": LARGEST_STRETCH}
    return {**view._asdict(), **drawn_from}


def apply_view(image: Image.Image, view: View, key: str) -> Image.Image:
    """The view of an image; equal keys (hexadecimal) get equal crops."""
    if view.crop is not None:
        return _random_crop(image, [view.crop, int(key[:16], 16)])
    return ImageOps.mirror(image) if view.mirrored else image


def _random_crop(image: Image.Image, seed: Sequence[int]) -> Image.Image:
    """A crop of at least half the area, with a slightly different aspect ratio, mirrored half of the time."""
    generator = np.random.default_rng(seed)
    area = generator.uniform(SMALLEST_AREA, 1)
    stretch = np.exp(generator.uniform(-LARGEST_STRETCH, LARGEST_STRETCH))
    width, height = min(1, np.sqrt(area * stretch)), min(1, np.sqrt(area / stretch))
    left, top = generator.uniform(0, 1 - width), generator.uniform(0, 1 - height)
    across, down = image.size
    crop = image.crop(
        (round(left * across), round(top * down), round((left + width) * across), round((top + height) * down))
    )
    return ImageOps.mirror(crop) if generator.random() < 0.5 else crop
