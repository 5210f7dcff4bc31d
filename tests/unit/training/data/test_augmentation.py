"""Views of an image: equal for equal keys, parts of at least half of it."""

import numpy as np
from PIL import Image

from training.config import BatchConfig
from training.data.augmentation import PLAIN, View, apply_view, views_of


def gradient() -> Image.Image:
    """Red grows to the right, green downwards: each pixel says where it was."""
    across, down = np.meshgrid(np.arange(200), np.arange(100))
    return Image.fromarray(np.stack([across, down, np.zeros_like(across)], axis=-1).astype(np.uint8))


def test_the_plain_view_comes_first() -> None:
    views = views_of(BatchConfig(flips=True, crops=2))
    assert views == (PLAIN, View(mirrored=True), View(crop=0), View(crop=1))
    assert views_of(BatchConfig()) == (PLAIN,)


def test_a_mirrored_view_runs_from_right_to_left() -> None:
    pixels = np.asarray(gradient())
    assert np.array_equal(np.asarray(apply_view(gradient(), View(mirrored=True), "00")), pixels[:, ::-1])
    assert np.array_equal(np.asarray(apply_view(gradient(), PLAIN, "00")), pixels)


def test_crops_are_parts_of_half_the_image_or_more() -> None:
    mirrored = 0
    for number in range(40):
        part = np.asarray(apply_view(gradient(), View(crop=number), "ab" * 32)).astype(int)
        red, green = part[..., 0], part[..., 1]
        assert part.shape[0] * part.shape[1] >= 0.48 * 200 * 100
        assert (np.abs(np.diff(red, axis=1)) == 1).all()
        assert (np.diff(green, axis=0) == 1).all()
        mirrored += bool(red[0, 0] > red[0, 1])
    assert 8 < mirrored < 32


def test_a_crop_depends_on_image_and_number_alone() -> None:
    asked = ((0, "1f"), (0, "1f"), (1, "1f"), (0, "2f"))
    crops = [np.asarray(apply_view(gradient(), View(crop=number), key)) for number, key in asked]
    assert np.array_equal(crops[0], crops[1])
    assert not any(crop.shape == crops[0].shape and np.array_equal(crop, crops[0]) for crop in crops[2:])
