"""The sky by day and by night: clouds or stars, the sun or the moon."""

from training.scenes.backdrop import SCALE, Backdrop
from training.scenes.facts import IMAGE_SIDE, Facts, hull
from training.scenes.pen import Colour

SUN_COLUMNS = (24, 60, 112, 164, 200)
SUN_ROOM = 56
"""Objects that lie wholly below this height never hide the sun; both in pixels of the finished image."""


def paint_sky(backdrop: Backdrop, facts: Facts) -> None:
    """Stars and the moon, or clouds and the sun; sun and moon where the objects of `facts` leave them room."""
    x, y = _free_column(facts) + backdrop.rng.randint(-8, 8), backdrop.rng.randint(44, 64)
    if backdrop.is_night:
        _paint_stars(backdrop)
        _paint_moon(backdrop, x, y)
    else:
        for _ in range(backdrop.rng.randint(1, 3)):
            _paint_cloud(backdrop)
        _paint_sun(backdrop, x, y)


def _free_column(facts: Facts) -> int:
    """The x where the sun or moon is least likely to be hidden, in pixels of the canvas."""
    high = [box for box in map(hull, facts.boxes) if box.top < SUN_ROOM]

    def room(x: int) -> int:
        return min((max(box.left - x, x - box.right) for box in high), default=abs(IMAGE_SIDE // 2 - x))

    return SCALE * max(SUN_COLUMNS, key=room)


def _paint_stars(backdrop: Backdrop) -> None:
    for _ in range(46):
        backdrop.disc(*backdrop.point(0, backdrop.horizon), backdrop.rng.choice((0.8, 1.1, 1.6)), (255, 252, 224))


def _paint_cloud(backdrop: Backdrop) -> None:
    x, y = backdrop.point(20, backdrop.horizon * 0.6)
    size = backdrop.rng.uniform(14, 26)
    for dx, dy, radius in ((-1.5, 0.25, 0.75), (-0.6, -0.25, 1.0), (0.5, -0.05, 0.9), (1.5, 0.3, 0.65)):
        backdrop.disc(x + dx * size, y + dy * size, radius * size, (246, 250, 254), flatness=0.8)


def _paint_sun(backdrop: Backdrop, x: int, y: int) -> None:
    _paint_glow(backdrop, x, y, (255, 240, 170))
    backdrop.disc(x, y, 22, (255, 226, 92))


def _paint_moon(backdrop: Backdrop, x: int, y: int) -> None:
    _paint_glow(backdrop, x, y, (220, 224, 255))
    backdrop.disc(x, y, 22, (240, 240, 222))
    for dx, dy, radius in ((-7, -5, 5), (7, 6, 6), (6, -9, 3)):
        backdrop.disc(x + dx, y + dy, radius, (214, 214, 200))


def _paint_glow(backdrop: Backdrop, x: int, y: int, colour: Colour) -> None:
    backdrop.disc(x, y, 40, (*colour, 36))
    backdrop.disc(x, y, 32, (*colour, 60))
