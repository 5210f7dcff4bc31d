"""A background while it is painted, and the brush strokes that all places share.

All lengths are in pixels of the canvas, which has SCALE times the side of the finished image.
"""

from math import pi, sin
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from training.scenes.facts import IMAGE_SIDE
from training.scenes.pen import Colour, mixed

SCALE = 2
SIDE = IMAGE_SIDE * SCALE
NIGHT_SHADE = (22, 26, 62)

# The colours at the top and at the bottom, a few to choose from.
SKIES: dict[str, tuple[tuple[Colour, Colour], ...]] = {
    "day": (((86, 168, 236), (206, 234, 250)), ((112, 190, 240), (236, 242, 240)), ((70, 148, 222), (190, 222, 246))),
    "night": (((8, 10, 36), (42, 50, 104)), ((12, 12, 30), (62, 50, 100)), ((6, 14, 40), (34, 64, 104))),
}


class Backdrop:
    """A background while it is painted. `tint` darkens every ground colour at night."""

    def __init__(self, time: str, horizon: int, rng: Random) -> None:
        """`horizon` is in pixels of the finished image."""
        self.rng = rng
        self.is_night = time == "night"
        self.horizon = horizon * SCALE
        self.image = _gradient(rng.choice(SKIES[time]), SIDE)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def tint(self, colour: Colour) -> Colour:
        """`colour` with a little chance in it, as it looks at this time of day."""
        shift = self.rng.randint(-8, 8)
        varied = tuple(min(255, max(0, value + shift)) for value in colour)
        return mixed(varied, NIGHT_SHADE, 0.48) if self.is_night else varied

    def floor(self, near: Colour, far: Colour, top: int) -> None:
        """The ground from `top` to the lower edge."""
        self.image.paste(_gradient((self.tint(far), self.tint(near)), SIDE - top), (0, top))

    def point(self, top: float, bottom: float = SIDE) -> tuple[float, float]:
        """Anywhere between the heights `top` and `bottom`."""
        return self.rng.uniform(0, SIDE), self.rng.uniform(top, bottom)

    def disc(self, x: float, y: float, radius: float, fill: Colour, *, flatness: float = 1) -> None:
        """An ellipse around (x, y), `flatness` times as high as wide."""
        high = radius * flatness
        self.draw.ellipse((x - radius, y - high, x + radius, y + high), fill=fill)

    def ridge(self, top: float, height: float, colour: Colour, *, waves: float = 1.5) -> None:
        """Everything below a wavy line around `top`."""
        phase, second = self.rng.uniform(0, 2 * pi), self.rng.uniform(0, 2 * pi)
        points: list[tuple[float, float]] = [(0, SIDE), (SIDE, SIDE)]
        for x in range(SIDE, -1, -8):
            t = 2 * pi * waves * x / SIDE
            points.append((x, top - height * (0.6 * sin(t + phase) + 0.4 * sin(2.3 * t + second))))
        self.draw.polygon(points, fill=self.tint(colour))

    def speckle(self, number: int, top: int, colour: Colour, size: float) -> None:
        """Short strokes, larger towards the viewer."""
        fill = (*self.tint(colour), 130)
        for _ in range(number):
            x, y = self.point(top)
            self.disc(x, y, size * (0.64 + 1.6 * (y - top) / (SIDE - top)), fill, flatness=0.375)


def _gradient(colours: tuple[Colour, Colour], height: int) -> Image.Image:
    """From the first colour at the top to the second at the bottom, SIDE pixels wide."""
    column = np.linspace(colours[0], colours[1], height).astype(np.uint8)
    return Image.fromarray(column[:, None, :]).resize((SIDE, height), Image.Resampling.NEAREST)
