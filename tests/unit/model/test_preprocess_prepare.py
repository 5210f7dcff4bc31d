"""The same pixels at training and at serving."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from model.preprocess import ImagePreprocessing, prepare_image, prepare_images

SQUASH = ImagePreprocessing(size=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), resize="squash", interpolation="bicubic")
CROP = SQUASH.model_copy(update={"resize": "crop"})


def gradient_image(width: int = 60, height: int = 40) -> Image.Image:
    """Smooth colours, so that a resized image can be compared."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], -1).astype(np.uint8))


def test_pixels_are_normalised_on_the_scale_of_one() -> None:
    image = Image.new("RGB", (30, 20), (255, 102, 0))
    pixels = prepare_image(image, SQUASH)
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    for channel, expected in enumerate(((1 - 0.5) / 0.2, (0.4 - 0.4) / 0.3, (0 - 0.3) / 0.4)):
        np.testing.assert_allclose(pixels[channel], expected, atol=1e-6)


def test_an_image_of_the_right_size_is_not_resampled() -> None:
    image = gradient_image(224, 224)
    preprocessing = ImagePreprocessing(
        size=224, mean=(0.498,) * 3, std=(0.502,) * 3, resize="squash", interpolation="bicubic"
    )
    expected = (np.asarray(image, np.float64) / 255 - 0.498) / 0.502
    np.testing.assert_allclose(prepare_image(image, preprocessing), expected.transpose(2, 0, 1), atol=1e-6)


def test_squash_keeps_the_corners_and_crop_the_middle() -> None:
    image = Image.new("RGB", (300, 100), "black")
    ImageDraw.Draw(image).rectangle((0, 0, 20, 100), fill="white")
    assert prepare_image(image, SQUASH)[0, :, 0].mean() > 0
    np.testing.assert_allclose(prepare_image(image, CROP), prepare_image(Image.new("RGB", (8, 8)), CROP))


@pytest.mark.parametrize("size", [(301, 97), (97, 301), (64, 64), (8, 8), (3, 5), (9, 8), (641, 480)])
def test_crop_equals_resizing_everything_and_then_cutting(size: tuple[int, int]) -> None:
    image = gradient_image(*size)
    shortest = min(size)
    resized = image.resize((int(8 * size[0] / shortest), int(8 * size[1] / shortest)), Image.Resampling.BICUBIC)
    left, top = (resized.width - 8) // 2, (resized.height - 8) // 2
    expected = prepare_image(resized.crop((left, top, left + 8, top + 8)), CROP)
    np.testing.assert_allclose(prepare_image(image, CROP), expected, atol=1.01 / 255 / 0.2)


@pytest.mark.parametrize("preprocessing", [SQUASH, CROP])
def test_a_single_pixel_fills_the_square(preprocessing: ImagePreprocessing) -> None:
    image = Image.new("RGB", (1, 1), "red")
    np.testing.assert_allclose(prepare_image(image, preprocessing), prepare_image(image.resize((8, 8)), preprocessing))


def test_a_line_of_pixels_costs_nothing_to_crop() -> None:
    assert prepare_image(Image.new("RGB", (1, 40_000)), CROP).shape == (3, 8, 8)


def test_images_of_other_modes_are_prepared_too() -> None:
    grey = gradient_image().convert("L")
    np.testing.assert_array_equal(prepare_image(grey, SQUASH), prepare_image(grey.convert("RGB"), SQUASH))


def test_a_batch_holds_each_image_alone() -> None:
    images = [gradient_image(60, 40), gradient_image(20, 30), gradient_image(8, 8)]
    batch = prepare_images(images, SQUASH)
    assert batch.shape == (3, 3, 8, 8)
    for row, image in enumerate(images):
        np.testing.assert_array_equal(batch[row], prepare_image(image, SQUASH))
    assert prepare_images([], SQUASH).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("change", [{"size": 0}, {"resize": "stretch"}, {"interpolation": "lanczos"}, {"extra": 1}])
def test_settings_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImagePreprocessing.model_validate({**SQUASH.model_dump(), **change})
