"""Backgrounds: the ground of each place under its sky. Nothing in them is one of the kinds of object.

All lengths are in pixels of the canvas.
"""

from collections.abc import Callable
from random import Random

from PIL import Image

from training.scenes.backdrop import SIDE, Backdrop
from training.scenes.facts import Facts
from training.scenes.layout import Stage
from training.scenes.pen import LAMPLIGHT, WHITE, Colour, mixed
from training.scenes.sky import paint_sky


def paint_background(facts: Facts, stage: Stage, rng: Random) -> Image.Image:
    """The empty place at the time of day, SIDE x SIDE pixels."""
    backdrop = Backdrop(facts.time, stage.horizon, rng)
    paint_sky(backdrop, facts)
    PAINTERS[facts.place](backdrop)
    return backdrop.image


def _paint_meadow(backdrop: Backdrop) -> None:
    horizon = backdrop.horizon
    backdrop.ridge(horizon - 16, 16, (132, 184, 120))
    backdrop.floor((92, 160, 62), (158, 206, 104), horizon)
    backdrop.ridge(horizon + 40, 10, (122, 184, 82), waves=0.8)
    backdrop.speckle(40, horizon + 56, (142, 200, 92), 6)
    blade = backdrop.tint((70, 134, 50))
    for _ in range(46):
        x, y = backdrop.point(horizon + 60)
        for lean in (-5, 0, 5):
            backdrop.draw.line((x, y, x + lean, y - 10), fill=blade, width=2)


def _paint_beach(backdrop: Backdrop) -> None:
    horizon = backdrop.horizon
    backdrop.floor((56, 150, 196), (74, 166, 208), horizon)
    for _ in range(14):
        x, y = backdrop.point(horizon + 4, horizon + 40)
        backdrop.draw.line((x - 25, y, x + 25, y), fill=(*backdrop.tint((206, 236, 244)), 150), width=2)
    backdrop.ridge(horizon + 48, 7, (246, 250, 250), waves=1.2)
    backdrop.ridge(horizon + 56, 7, (240, 218, 166), waves=1.2)
    backdrop.speckle(70, horizon + 76, (214, 186, 130), 3)
    backdrop.speckle(30, horizon + 76, (252, 240, 208), 4)


def _paint_snow(backdrop: Backdrop) -> None:
    horizon = backdrop.horizon
    _paint_mountains(backdrop, (142, 160, 190), (250, 252, 255))
    backdrop.floor((238, 244, 252), (214, 226, 242), horizon)
    backdrop.ridge(horizon + 30, 12, (228, 236, 248), waves=0.9)
    backdrop.ridge(horizon + 90, 12, (240, 246, 254), waves=0.7)
    backdrop.speckle(36, horizon + 40, (200, 214, 236), 5)


def _paint_mountains(backdrop: Backdrop, rock: Colour, peak: Colour) -> None:
    horizon = backdrop.horizon
    x = backdrop.rng.uniform(-60, 0)
    while x < SIDE:
        half, height = backdrop.rng.uniform(60, 100), backdrop.rng.uniform(50, 96)
        top = horizon - height
        backdrop.draw.polygon([(x - half, horizon), (x, top), (x + half, horizon)], fill=backdrop.tint(rock))
        cap = [(x - half * 0.36, top + height * 0.36), (x, top), (x + half * 0.36, top + height * 0.36)]
        jag = [(x + half * 0.15, top + height * 0.28), (x, top + height * 0.42), (x - half * 0.16, top + height * 0.28)]
        backdrop.draw.polygon([*cap, *jag], fill=backdrop.tint(peak))
        x += half * 1.3


def _paint_street(backdrop: Backdrop) -> None:
    """A wall, the pavement with two lamps, the road."""
    horizon = backdrop.horizon
    _paint_wall(backdrop, horizon - 56)
    backdrop.floor((176, 174, 170), (198, 196, 190), horizon + 20)
    backdrop.draw.rectangle((0, horizon + 62, SIDE, horizon + 70), fill=backdrop.tint((222, 220, 214)))
    backdrop.floor((92, 94, 102), (112, 114, 120), horizon + 70)
    paint = backdrop.tint((236, 236, 228))
    for x in range(backdrop.rng.randint(-60, 0), SIDE, 96):
        dash = [(x, SIDE - 34), (x + 52, SIDE - 34), (x + 46, SIDE - 24), (x - 8, SIDE - 24)]
        backdrop.draw.polygon(dash, fill=paint)
    for x in (backdrop.rng.randint(30, 120), backdrop.rng.randint(310, 410)):
        _paint_lamp(backdrop, x)


def _paint_wall(backdrop: Backdrop, top: int) -> None:
    wall = backdrop.tint(backdrop.rng.choice(((196, 150, 128), (188, 176, 162), (170, 178, 186))))
    mortar = mixed(wall, WHITE, 0.25)
    backdrop.draw.rectangle((0, top, SIDE, top + 80), fill=wall)
    for row in range(5):
        y = top + row * 16
        backdrop.draw.line((0, y, SIDE, y), fill=mortar, width=2)
        for x in range((row % 2) * 20, SIDE, 40):
            backdrop.draw.line((x, y, x, y + 16), fill=mortar, width=2)


def _paint_lamp(backdrop: Backdrop, x: int) -> None:
    foot, top = backdrop.horizon + 58, backdrop.horizon - 110
    post = backdrop.tint((96, 100, 108))
    backdrop.draw.line((x, foot, x, top), fill=post, width=5)
    if backdrop.is_night:
        backdrop.disc(x, top, 44, (*LAMPLIGHT, 30))
        backdrop.disc(x, top, 28, (*LAMPLIGHT, 50))
    backdrop.disc(x, top - 1, 10, LAMPLIGHT if backdrop.is_night else (236, 240, 238))
    backdrop.draw.polygon([(x - 14, top - 8), (x, top - 20), (x + 14, top - 8)], fill=post)


def _paint_desert(backdrop: Backdrop) -> None:
    horizon = backdrop.horizon
    for _ in range(2):
        x, width = backdrop.rng.uniform(0, SIDE), backdrop.rng.uniform(60, 110)
        top = horizon - backdrop.rng.uniform(36, 70)
        mesa = [(x - width, horizon + 8), (x - width * 0.6, top), (x + width * 0.6, top), (x + width, horizon + 8)]
        backdrop.draw.polygon(mesa, fill=backdrop.tint((188, 112, 78)))
    backdrop.floor((226, 168, 96), (238, 190, 120), horizon)
    backdrop.ridge(horizon + 14, 12, (232, 180, 108), waves=0.9)
    backdrop.ridge(horizon + 60, 16, (222, 164, 92), waves=0.7)
    backdrop.ridge(horizon + 130, 14, (230, 174, 102), waves=0.6)
    backdrop.speckle(24, horizon + 80, (190, 134, 74), 4)


def _paint_sea(backdrop: Backdrop) -> None:
    """The water from the side, down to the sandy bottom."""
    horizon = backdrop.horizon
    backdrop.ridge(horizon, 3, (64, 160, 204), waves=6)
    backdrop.floor((18, 84, 146), (64, 160, 204), horizon + 6)
    backdrop.ridge(SIDE - 22, 8, (196, 180, 132), waves=1.3)
    for _ in range(4):
        x = backdrop.rng.uniform(0, SIDE)
        ray = [(x, horizon + 6), (x + 30, horizon + 6), (x - 20, SIDE), (x - 80, SIDE)]
        backdrop.draw.polygon(ray, fill=(255, 255, 255, 12))
    for _ in range(16):
        x, y = backdrop.point(horizon + 40, SIDE - 40)
        r = backdrop.rng.uniform(2, 5)
        backdrop.draw.ellipse((x - r, y - r, x + r, y + r), outline=(226, 244, 252, 110), width=2)


PAINTERS: dict[str, Callable[[Backdrop], None]] = {
    "meadow": _paint_meadow,
    "beach": _paint_beach,
    "snow": _paint_snow,
    "street": _paint_street,
    "desert": _paint_desert,
    "sea": _paint_sea,
}
