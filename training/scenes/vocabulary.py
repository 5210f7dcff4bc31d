"""What a drawn scene can hold: kinds of object, colours, sizes, places and times, and the words for them.

Every word stands for exactly one fact, so that equal captions always claim equal things.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Zone = Literal["air", "ground", "surface", "water"]

LAND = ("meadow", "beach", "snow", "street", "desert")
PLACES = (*LAND, "sea")
TIMES = ("day", "night")
SIZES = ("small", "medium", "large")
MAX_COUNT = 4

# Square root of the area of one object's box, in pixels of the 224-pixel image: a factor of 1.5 keeps sizes apart.
EXTENT = {"small": 35, "medium": 54, "large": 83}

# sRGB of a lit surface. Colours are far enough apart to be told from one another under both lights.
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (216, 34, 38),
    "orange": (248, 134, 18),
    "yellow": (252, 220, 40),
    "green": (44, 156, 62),
    "blue": (36, 92, 214),
    "purple": (132, 56, 178),
    "pink": (250, 142, 186),
    "white": (246, 246, 244),
    "black": (36, 36, 40),
    "brown": (126, 76, 38),
}

ON_GROUND: Mapping[str, Zone] = dict.fromkeys(LAND, "ground")
IN_AIR: Mapping[str, Zone] = dict.fromkeys(PLACES, "air")
AFLOAT: Mapping[str, Zone] = {"sea": "surface", "beach": "ground"}
UNDER_WATER: Mapping[str, Zone] = {"sea": "water"}


@dataclass(frozen=True)
class Kind:
    """One kind of object: `nouns` are pairs (singular, plural), `aspect` is width / height of its box.

    `zones` says at which places it may be and where it is there. `doing` is a participle that its drawing shows
    wherever it stands; it claims nothing. `carries` and `rests` tell which kinds other things can stand on, and which
    can stand on them.
    """

    nouns: tuple[tuple[str, str], ...]
    aspect: float
    zones: Mapping[str, Zone]
    doing: str | None = None
    carries: bool = False
    rests: bool = False


KINDS: Mapping[str, Kind] = {
    "ball": Kind((("ball", "balls"),), 1.0, ON_GROUND, rests=True),
    "car": Kind((("car", "cars"), ("automobile", "automobiles")), 1.9, ON_GROUND, "parked"),
    "bus": Kind((("bus", "buses"),), 1.75, ON_GROUND, "parked", carries=True),
    "house": Kind((("house", "houses"), ("cottage", "cottages")), 1.0, ON_GROUND),
    "tree": Kind((("tree", "trees"),), 0.75, ON_GROUND),
    "flower": Kind((("flower", "flowers"), ("blossom", "blossoms")), 0.62, ON_GROUND),
    "mushroom": Kind((("mushroom", "mushrooms"), ("toadstool", "toadstools")), 0.95, ON_GROUND),
    "dog": Kind((("dog", "dogs"),), 1.2, ON_GROUND, "standing", rests=True),
    "cat": Kind((("cat", "cats"),), 0.85, ON_GROUND, "sitting", rests=True),
    "rabbit": Kind((("rabbit", "rabbits"), ("bunny", "bunnies")), 0.7, ON_GROUND, "sitting", rests=True),
    "umbrella": Kind((("umbrella", "umbrellas"), ("parasol", "parasols")), 0.95, ON_GROUND),
    "chair": Kind((("chair", "chairs"),), 0.68, ON_GROUND),
    "table": Kind((("table", "tables"),), 1.5, ON_GROUND, carries=True),
    "cup": Kind((("cup", "cups"), ("mug", "mugs")), 1.15, ON_GROUND, rests=True),
    "box": Kind((("box", "boxes"), ("crate", "crates")), 1.1, ON_GROUND, carries=True, rests=True),
    "bird": Kind((("bird", "birds"),), 1.35, IN_AIR, "flying"),
    "butterfly": Kind((("butterfly", "butterflies"),), 1.2, dict.fromkeys(LAND, "air"), "fluttering"),
    "kite": Kind((("kite", "kites"),), 0.6, IN_AIR, "flying"),
    "balloon": Kind((("balloon", "balloons"),), 0.55, IN_AIR, "floating"),
    "plane": Kind((("plane", "planes"), ("airplane", "airplanes")), 1.8, IN_AIR, "flying"),
    "boat": Kind((("boat", "boats"), ("sailing boat", "sailing boats")), 1.0, AFLOAT),
    "fish": Kind((("fish", "fish"),), 1.6, UNDER_WATER, "swimming"),
}

SIZE_WORDS: Mapping[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
}
"""No caption mentions a medium size: people name a size only where it strikes them."""

COLOUR_WORDS: Mapping[str, tuple[str, ...]] = {
    **{colour: (colour,) for colour in COLOURS},
    "purple": ("purple", "violet"),
}

COUNT_WORDS: Mapping[int, tuple[str, ...]] = {
    1: ("a", "a", "a", "a", "a", "one", "a single"),
    2: ("two", "two", "a pair of"),
    3: ("three",),
    4: ("four",),
}

GROUND_PHRASES: Mapping[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "in a green field", "in a grassy field"),
    "beach": ("on the beach", "on a sandy beach", "at the beach"),
    "snow": ("in the snow", "in a snowy field", "in a snowy landscape"),
    "street": ("on a street", "on a city street", "by the road"),
    "desert": ("in the desert", "in a dry desert", "in a desert landscape"),
    "sea": ("at sea", "out at sea", "in the sea"),
}

AERIAL_PHRASES: Mapping[str, tuple[str, ...]] = {
    "meadow": ("over a meadow", "above a green field"),
    "beach": ("over the beach", "above a sandy beach"),
    "snow": ("over a snowy field", "in a snowy landscape"),
    "street": ("over a street", "above a road"),
    "desert": ("over the desert", "above a desert"),
    "sea": ("over the sea", "above the waves", "out at sea"),
}
"""Said of things that are all in the air; they claim the place, no relation."""

MIXED_PHRASES: Mapping[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "in a green field"),
    "beach": ("at the beach", "at a sandy beach"),
    "snow": ("in a snowy field", "in a snowy landscape"),
    "street": ("in a street", "by the road"),
    "desert": ("in the desert", "in a desert landscape"),
    "sea": ("at sea", "out at sea"),
}
"""Said where something may be in the air."""

VIEW_NOUNS: Mapping[str, tuple[str, ...]] = {
    "meadow": ("a meadow", "a green field"),
    "beach": ("a beach", "a sandy beach"),
    "snow": ("a snowy landscape", "a snowy field"),
    "street": ("a street", "a city street"),
    "desert": ("a desert", "a desert landscape"),
    "sea": ("the sea", "the open sea"),
}

TIME_PHRASES: Mapping[str, tuple[str, ...]] = {
    "day": ("during the day", "in daylight", "by day", "on a sunny day"),
    "night": ("at night", "under the stars", "on a starry night", "in the dark"),
}

TIME_VIEWS: Mapping[str, tuple[str, ...]] = {
    "day": ("a daytime picture of", "a sunny scene with"),
    "night": ("a night scene with", "a picture taken at night of"),
}
