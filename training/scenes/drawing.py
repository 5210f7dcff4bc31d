"""A finished image of the facts: the background, the objects from back to front, and a grain over all."""

from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from training.scenes import creatures, things
from training.scenes.backdrop import SCALE
from training.scenes.facts import Box, Facts
from training.scenes.landscape import paint_background
from training.scenes.layout import Stage
from training.scenes.pen import Colour, Pen, tones_of
from training.scenes.vocabulary import COLOURS, KINDS

NIGHT_BRIGHTNESS = 0.9
GRAIN_SIDE = 512

SKETCHES: dict[str, Callable[[Pen], None]] = {
    kind: getattr(creatures if hasattr(creatures, kind) else things, kind) for kind in KINDS
}


def draw_scene(facts: Facts, stage: Stage, rng: Random) -> Image.Image:
    """The image of `facts`, RGB, IMAGE_SIDE pixels a side. Equal `rng` states give equal images."""
    canvas = paint_background(facts, stage, rng)
    draw = ImageDraw.Draw(canvas, "RGBA")
    items = [(_on_canvas(box), group) for group, boxes in zip(facts.groups, facts.boxes, strict=True) for box in boxes]
    for box, group in sorted(items, key=lambda item: item[0].bottom):
        if KINDS[group.kind].zones[facts.place] == "ground":
            _draw_shadow(draw, box)
        brightness = NIGHT_BRIGHTNESS if facts.time == "night" else 1.0
        draw_object(
            draw,
            group.kind,
            _varied(COLOURS[group.colour], rng),
            box,
            mirrored=rng.random() < 0.5,
            brightness=brightness,
        )
    return _with_grain(canvas.reduce(SCALE), rng)


def draw_object(
    draw: ImageDraw.ImageDraw, kind: str, colour: Colour, box: Box, *, mirrored: bool, brightness: float
) -> None:
    """One object of `kind` that fills `box` (pixels of the canvas)."""
    SKETCHES[kind](Pen(draw, box, tones_of(colour), mirrored=mirrored, brightness=brightness))


def _on_canvas(box: Box) -> Box:
    return Box(*(value * SCALE for value in box))


def _draw_shadow(draw: ImageDraw.ImageDraw, box: Box) -> None:
    depth = max(4, box.width // 12)
    draw.ellipse((box.left + 2, box.bottom - depth, box.right + depth // 2, box.bottom + depth), fill=(10, 14, 30, 70))


def _varied(colour: Colour, rng: Random) -> Colour:
    return tuple(min(255, max(0, value + rng.randint(-7, 7))) for value in colour)


def _with_grain(image: Image.Image, rng: Random) -> Image.Image:
    """Fine noise and a change of exposure, so that no two images share a pixel pattern."""
    width, height = image.size
    left, top = rng.randrange(GRAIN_SIDE - width), rng.randrange(GRAIN_SIDE - height)
    grain = _grain()[top : top + height, left : left + width]
    pixels = np.asarray(image, dtype=np.int16) + grain + rng.randint(-5, 5)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@cache
def _grain() -> npt.NDArray[np.int16]:
    """Noise [GRAIN_SIDE, GRAIN_SIDE, 1], the same in every channel."""
    rng = Random(0)
    values = [round(rng.gauss(0, 2.5)) for _ in range(GRAIN_SIDE * GRAIN_SIDE)]
    return np.array(values, dtype=np.int16).reshape(GRAIN_SIDE, GRAIN_SIDE, 1)
