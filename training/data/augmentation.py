"""Differently seen pictures: what a frozen network gives for them is computed once, so that each is drawn once too."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from training.config import BatchConfig

SMALLEST_AREA = 0.5
LARGEST_STRETCH = 0.25
"""Natural logarithm of width to height, beside that of the picture."""


class View(NamedTuple):
    """How a picture is seen: as it is, mirrored, or a part of it, drawn by this number and the picture."""

    mirrored: bool = False
    crop: int | None = None


PLAIN = View()


def views_of(batch: BatchConfig) -> tuple[View, ...]:
    """The views that a recipe trains on; the first is the plain one."""
    mirrored = (View(mirrored=True),) if batch.flips else ()
    return (PLAIN, *mirrored, *(View(crop=number) for number in range(batch.crops)))


def key_of_view(view: View) -> dict[str, Any]:
    """All that decides what `apply_view` returns of an image, for the key of cached features."""
    drawn_from = {} if view.crop is None else {"smallest_area": SMALLEST_AREA, "largest_stretch": LARGEST_STRETCH}
    return {**view._asdict(), **drawn_from}


def apply_view(image: Image.Image, view: View, key: str) -> Image.Image:
    """A picture in one of its views; equal keys (hexadecimal) give equal parts."""
    if view.crop is not None:
        return _random_part(image, [view.crop, int(key[:16], 16)])
    return ImageOps.mirror(image) if view.mirrored else image


def _random_part(image: Image.Image, seed: Sequence[int]) -> Image.Image:
    """A part of at least half the area, somewhat stretched, mirrored half of the time."""
    generator = np.random.default_rng(seed)
    area = generator.uniform(SMALLEST_AREA, 1)
    stretch = np.exp(generator.uniform(-LARGEST_STRETCH, LARGEST_STRETCH))
    width, height = min(1, np.sqrt(area * stretch)), min(1, np.sqrt(area / stretch))
    left, top = generator.uniform(0, 1 - width), generator.uniform(0, 1 - height)
    across, down = image.size
    part = image.crop(
        (round(left * across), round(top * down), round((left + width) * across), round((top + height) * down))
    )
    return ImageOps.mirror(part) if generator.random() < 0.5 else part
