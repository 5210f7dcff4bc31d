"""Draws shapes given in unit coordinates into one box of an image: (0, 0) is its top left, (1, 1) its bottom right."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import ImageDraw

from training.scenes.facts import Box

Colour = tuple[int, ...]
Point = tuple[float, float]

INK = (34, 32, 42)
PALE_INK = (138, 138, 150)
WHITE = (250, 250, 250)
GREY = (150, 150, 158)
DARK_GREY = (74, 74, 82)
GLASS = (206, 222, 234)
LAMPLIGHT = (255, 226, 130)

SAMPLES_PER_POINT = 6


@dataclass(frozen=True)
class Tones:
    """One colour of the vocabulary as a body, its lit and its shaded parts, and its outline."""

    base: Colour
    light: Colour
    dark: Colour
    line: Colour


def tones_of(colour: Colour) -> Tones:
    """Black things get a pale outline, everything else a dark one: both are seen by day and by night."""
    is_black = sum(colour) < 150
    light = mixed(colour, WHITE, 0.22 if is_black else 0.4)
    return Tones(colour, light, mixed(colour, INK, 0.28), PALE_INK if is_black else INK)


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` (0 to 1) of `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


class Pen:
    """Draws one object. `box` is in pixels of the canvas; `brightness` dims all but lamplight at night."""

    def __init__(self, draw: ImageDraw.ImageDraw, box: Box, tones: Tones, *, mirrored: bool, brightness: float) -> None:
        self.tones = tones
        self.is_dark = brightness < 1
        self._draw = draw
        self._mirrored = mirrored
        self._brightness = brightness
        self._stroke = max(2, round((box.width * box.height) ** 0.5 / 42))
        inset = self._stroke / 2
        self._origin = (box.left + inset, box.top + inset)
        self._scale = (box.width - 1 - self._stroke, box.height - 1 - self._stroke)

    def polygon(self, points: Sequence[Point], fill: Colour, *, outlined: bool = True) -> None:
        """A polygon with straight sides."""
        pixels = [self._pixel(point) for point in points]
        self._draw.polygon(pixels, fill=self._lit(fill))
        if outlined:
            self._outline(pixels)

    def blob(self, points: Sequence[Point], fill: Colour, *, outlined: bool = True) -> None:
        """A closed smooth curve through `points` (uniform Catmull-Rom)."""
        self.polygon(_smooth(tuple(points)), fill, outlined=outlined)

    def ellipse(
        self, left: float, top: float, right: float, bottom: float, fill: Colour, *, outlined: bool = True
    ) -> None:
        """An ellipse between the four sides."""
        corners = self._corners(left, top, right, bottom)
        if outlined:
            half = self._stroke / 2
            outer = (corners[0] - half, corners[1] - half, corners[2] + half, corners[3] + half)
            self._draw.ellipse(outer, fill=self._lit(fill), outline=self._lit(self.tones.line), width=self._stroke)
        else:
            self._draw.ellipse(corners, fill=self._lit(fill))

    def rounded(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        fill: Colour,
        *,
        radius: float = 0.1,
        outlined: bool = True,
    ) -> None:
        """A rectangle with round corners; `radius` in parts of the box's smaller side."""
        half = self._stroke / 2 if outlined else 0
        corners = self._corners(left, top, right, bottom)
        outer = (corners[0] - half, corners[1] - half, corners[2] + half, corners[3] + half)
        outline = self._lit(self.tones.line) if outlined else None
        self._draw.rounded_rectangle(
            outer, radius * min(self._scale), self._lit(fill), outline, self._stroke if outlined else 0
        )

    def line(self, points: Sequence[Point], fill: Colour | None = None, *, weight: float = 1) -> None:
        """An open line; `weight` in strokes of an outline."""
        pixels = [self._pixel(point) for point in points]
        width = max(1, round(self._stroke * weight))
        self._draw.line(pixels, fill=self._lit(fill or self.tones.line), width=width, joint="curve")

    def curve(self, points: Sequence[Point], fill: Colour | None = None, *, weight: float = 1) -> None:
        """A smooth open line through `points`."""
        there_and_back = _smooth(tuple(points) + tuple(points[-2:0:-1]))
        half = there_and_back[: (len(points) - 1) * SAMPLES_PER_POINT + 1]
        self.line(half, fill, weight=weight)

    def dot(self, x: float, y: float, radius: float, fill: Colour | None = None) -> None:
        """A round dot whatever the box's shape; `radius` in parts of the box's smaller side."""
        centre_x, centre_y = self._pixel((x, y))
        r = max(1.0, radius * min(self._scale))
        colour = self._lit(fill or self.tones.line)
        self._draw.ellipse((centre_x - r, centre_y - r, centre_x + r, centre_y + r), fill=colour)

    def _outline(self, pixels: list[Point]) -> None:
        closed = [*pixels, pixels[0], pixels[1]]
        joint = "curve" if len(pixels) < 12 else None
        self._draw.line(closed, fill=self._lit(self.tones.line), width=self._stroke, joint=joint)

    def _lit(self, colour: Colour) -> Colour:
        if colour[:3] == LAMPLIGHT:
            return colour
        return tuple(round(value * self._brightness) for value in colour[:3]) + tuple(colour[3:])

    def _pixel(self, point: Point) -> Point:
        x = 1 - point[0] if self._mirrored else point[0]
        return self._origin[0] + x * self._scale[0], self._origin[1] + point[1] * self._scale[1]

    def _corners(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        a, b = self._pixel((left, top)), self._pixel((right, bottom))
        return min(a[0], b[0]), a[1], max(a[0], b[0]), b[1]


@cache
def _smooth(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """SAMPLES_PER_POINT points on the closed Catmull-Rom curve from each control point to the next."""
    control = np.array(points)
    around = np.stack([np.roll(control, shift, axis=0) for shift in (1, 0, -1, -2)])
    curve = np.einsum("sp,pnd->nsd", _basis(), around).reshape(-1, 2)
    return tuple((float(x), float(y)) for x, y in curve)


def _basis() -> npt.NDArray[np.float64]:
    """Weights [SAMPLES_PER_POINT, 4] of the four control points around a segment."""
    t = np.arange(SAMPLES_PER_POINT) / SAMPLES_PER_POINT
    rows = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    return np.stack(rows, axis=1) / 2
