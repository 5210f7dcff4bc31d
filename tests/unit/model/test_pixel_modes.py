"""Images of every mode to RGB: opaque ones untouched, the others averaged where they are larger than needed."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from model.preprocess import decode_image
from tests.sample_images import distance, encoded, gradient_image


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_opaque_images_of_8_bits_are_not_averaged(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    content = encoded(gradient_image().convert(mode), kind)
    expected = Image.open(BytesIO(content)).convert("RGB").tobytes()
    assert decode_image(content).tobytes() == expected
    assert decode_image(content, at_least=4).tobytes() == expected


@pytest.mark.parametrize("size", [(2500, 1500), (1024, 1024), (300, 2100)])
def test_transparent_images_are_averaged_on_white(size: tuple[int, int]) -> None:
    """In tiles as if it were done at once."""
    original = gradient_image(*size).convert("RGBA")
    original.putalpha(Image.linear_gradient("L").resize(size))
    content = encoded(original, "PNG", compress_level=1)
    white = Image.new("RGBA", size, "white")
    on_white = Image.alpha_composite(white, original).convert("RGB")
    assert decode_image(content).tobytes() == on_white.tobytes()
    reduced = decode_image(content, at_least=30)
    assert min(reduced.size) >= 60
    assert distance(reduced, on_white.reduce(min(size) // 60)) < 0.5


def test_colours_behind_transparent_pixels_do_not_shine_through() -> None:
    """Every other pixel is red and transparent, the others are blue."""
    across, down = np.meshgrid(np.arange(256), np.arange(256))
    hidden = ((across + down) % 2 == 0)[..., None]
    values = np.where(hidden, np.uint8([255, 0, 0, 0]), np.uint8([0, 0, 255, 255]))
    pixels = np.asarray(decode_image(encoded(Image.fromarray(values), "PNG"), at_least=16))
    assert pixels.shape == (32, 32, 3)
    assert np.abs(pixels.astype(int) - [127, 127, 255]).max() <= 1


@pytest.mark.parametrize(("mode", "kind"), [("I;16", "PNG"), ("I", "TIFF"), ("F", "TIFF")])
def test_deep_images_are_averaged_after_they_were_scaled(mode: str, kind: str) -> None:
    values = np.linspace(0, 65535, 2500 * 1100).reshape(1100, 2500)
    types = {"I;16": "<u2", "I": "<i4", "F": "<f4"}
    image = Image.frombytes(mode, (2500, 1100), values.astype(types[mode]).tobytes())
    content = encoded(image, kind)
    whole, reduced = decode_image(content), decode_image(content, at_least=55)
    assert (whole.size, reduced.size) == ((2500, 1100), (250, 110))
    assert distance(reduced, whole.reduce(10)) < 0.5


def test_a_line_of_transparent_pixels_is_decoded() -> None:
    image = Image.new("LA", (1, 5000), (0, 0))
    assert decode_image(encoded(image, "PNG"), at_least=8).getcolors() == [(5000, (255, 255, 255))]
