"""Which named colours an image has, and where: counted over a grid of 3 x 3 cells."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Several shades a name, in sRGB: what people call by one name is no ball in any colour space.
SHADES: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((0, 0, 0), (25, 25, 25), (45, 45, 45)),
    "grey": ((85, 85, 85), (125, 125, 125), (165, 165, 165)),
    "white": ((210, 214, 220), (235, 235, 235), (255, 255, 255)),
    "red": ((216, 34, 38), (165, 25, 30), (225, 75, 65)),
    "orange": ((245, 130, 25), (220, 105, 40)),
    "yellow": ((250, 220, 45), (225, 200, 80)),
    "green": ((45, 155, 60), (40, 75, 35), (85, 110, 45), (125, 160, 75), (150, 200, 110)),
    "blue": ((36, 90, 214), (30, 40, 100), (70, 120, 165), (95, 160, 225), (160, 200, 235), (60, 170, 190)),
    "purple": ((130, 56, 178), (85, 45, 110)),
    "pink": ((250, 142, 186), (225, 60, 140)),
    "brown": ((126, 76, 38), (75, 50, 35), (150, 105, 70)),
    "tan": ((200, 170, 130), (225, 205, 175), (180, 150, 115)),
}
NAMES = tuple(SHADES)
CELLS = 3

_LEVELS = 32  # a channel in the table of names: steps of 8, which no eye sees
_EVERY = 4  # pixels, in either direction
_D65 = (0.95047, 1.0, 1.08883)
_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))


class ColourLayout(NamedTuple):
    """The share of each of `NAMES` in each cell, [3, 3, K]; the first axis goes down, the second to the right."""

    shares: Floats

    @property
    def upper(self) -> dict[str, float]:
        """The shares in the upper third."""
        return self._named(self.shares[0])

    @property
    def lower(self) -> dict[str, float]:
        """The shares in the lower third."""
        return self._named(self.shares[-1])

    @property
    def whole(self) -> dict[str, float]:
        """The shares in the whole image."""
        return self._named(self.shares)

    @property
    def centre_over_border(self) -> dict[str, float]:
        """By how much the share in the middle cell exceeds that in the cells around it, [-1, 1]."""
        around = self.shares.reshape(-1, len(NAMES)).sum(axis=0) - self.shares[1, 1]
        return self._named(self.shares[1, 1] - around / (CELLS * CELLS - 1))

    @staticmethod
    def _named(shares: Floats) -> dict[str, float]:
        means = shares.reshape(-1, len(NAMES)).mean(axis=0)
        return dict(zip(NAMES, means.tolist(), strict=True))


def colour_layout(rgb: NDArray[np.uint8]) -> ColourLayout:
    """The layout of an image [H, W, 3], sRGB of 8 bits and at least 12 x 12 pixels; every fourth pixel is looked at."""
    some = rgb[::_EVERY, ::_EVERY].astype(np.uint16) // (256 // _LEVELS)
    codes = (some[..., 0] * _LEVELS + some[..., 1]) * _LEVELS + some[..., 2]
    names = _names_by_code()[codes]  # [h, w]
    rows, columns = (np.arange(side) * CELLS // side for side in names.shape)
    cells = rows[:, None] * CELLS + columns
    counts = np.bincount((cells * len(NAMES) + names).ravel(), minlength=CELLS * CELLS * len(NAMES))
    shares = counts.reshape(CELLS, CELLS, len(NAMES)).astype(np.float32)
    return ColourLayout(shares / shares.sum(axis=2, keepdims=True))


def to_lab(rgb: Floats) -> Floats:
    """sRGB on 0-255, [..., 3], to CIELAB under D65: distances there are about as large as they look."""
    channels = np.asarray(rgb, np.float64) / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(_TO_XYZ).T / np.array(_D65)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


@lru_cache(maxsize=1)
def _names_by_code() -> NDArray[np.intp]:
    """The place in `NAMES` of every colour of 5 bits a channel, [32,768]: the nearest shade in CIELAB."""
    middles = (np.indices((_LEVELS,) * 3).reshape(3, -1).T + 0.5) * (256 / _LEVELS)
    shades = np.array([shade for shades in SHADES.values() for shade in shades], np.float32)
    owner = np.repeat(np.arange(len(NAMES)), [len(shades) for shades in SHADES.values()])
    apart = to_lab(middles.astype(np.float32))[:, None] - to_lab(shades)  # [32768, shades, 3]
    names: NDArray[np.intp] = owner[np.square(apart).sum(axis=2).argmin(axis=1)]
    return names
