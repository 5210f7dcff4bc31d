"""Images of every mode as RGB of 8 bits, converted in tiles so that no copy of the whole is made on the way."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_TILE = 512

Array = NDArray[Any]
Box = tuple[int, int, int, int]
Convert = Callable[[Image.Image], Image.Image]


def to_rgb(image: Image.Image, *, at_least: int | None = None) -> Image.Image:
    """A loaded image as RGB, transparency on white; the image itself where it is RGB already.

    Where `at_least` is given, transparent images and those of more than 8 bits are averaged over squares of pixels, so
    that neither side gets shorter than that. They are on white by then: colours behind transparent pixels do not count.
    """
    factor = max(1, min(image.size) // at_least) if at_least else 1
    if image.mode.startswith(("I", "F")):
        return _by_tile(image, "L", _to_eight_bits(image), factor).convert("RGB")
    if image.has_transparency_data:
        return _by_tile(image, "RGB", _on_white, factor)
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_tile(image: Image.Image, mode: str, convert: Convert, factor: int) -> Image.Image:
    """Converted and then averaged over squares of `factor` pixels."""
    result = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    for box in _tiles(image.size, factor):
        result.paste(convert(image.crop(box)).reduce(factor), (box[0] // factor, box[1] // factor))
    return result


def _on_white(tile: Image.Image) -> Image.Image:
    colours = tile.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")


def _to_eight_bits(image: Image.Image) -> Convert:
    """How tiles of 16 or 32 bits become grey values of 8: Pillow's own conversion clips them at 255."""
    if image.mode.startswith("I;16"):
        return lambda tile: _grey(np.asarray(tile) >> 8)  # the high byte, as for 16-bit colours
    # Neither mode says what white is: the smallest usual one that holds the values, else the brightest value.
    whites = (1.0, 65535.0) if image.mode == "F" else (65535.0,)
    brightest = max(float(_positive(image.crop(box)).max()) for box in _tiles(image.size))
    white = next((white for white in whites if brightest <= white), brightest)
    return lambda tile: _grey((_positive(tile) * (255.0 / white)).round())


def _grey(values: Array) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def _positive(tile: Image.Image) -> Array:
    """Its values [H, W] in float32, finite and at least 0."""
    return np.nan_to_num(np.asarray(tile, np.float32), posinf=0.0, neginf=0.0).clip(min=0.0)


def _tiles(size: tuple[int, int], factor: int = 1) -> Iterator[Box]:
    """Boxes that cover an image; their sides are multiples of `factor`, but at the right and lower edge."""
    width, height = size
    side = _TILE // factor * factor or factor
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield left, top, min(left + side, width), min(top + side, height)
