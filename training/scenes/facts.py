"""What is true of a drawn scene: groups of objects with their boxes, and the relations that the boxes stand in.

Boxes are (left, top, right, bottom) in pixels of the image, y downwards. A group is everything of its kind in the
image; no two groups of one image share a kind or a colour, so that "two balls" or "something red" has one meaning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

IMAGE_SIDE = 224
MARGIN = 6
"""Free pixels between two hulls that are called apart, and between an object and the edge of the image."""

CLEAR_OVERLAP = 0.5
"""Two hulls that are not apart on an axis share at least this part of the shorter one."""

INVERSE = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "on": "carries",
    "carries": "on",
}


class Box(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def moved(self, x: int, y: int) -> "Box":
        return Box(self.left + x, self.top + y, self.right + x, self.bottom + y)


@dataclass(frozen=True)
class Group:
    """`count` objects of one kind, colour and size."""

    kind: str
    colour: str
    size: str
    count: int


class Relation(NamedTuple):
    """`subject` and `target` are positions in the list of groups."""

    subject: int
    name: str
    target: int


@dataclass(frozen=True)
class Facts:
    """All that is true of one image; `boxes[i]` are the boxes of the objects of `groups[i]`."""

    time: str
    place: str
    groups: tuple[Group, ...]
    boxes: tuple[tuple[Box, ...], ...]
    relations: frozenset[Relation]

    def as_json(self) -> dict[str, object]:
        """The facts as they stand in `scenes.json`."""
        objects = [
            {**vars(group), "boxes": [list(box) for box in boxes]}
            for group, boxes in zip(self.groups, self.boxes, strict=True)
        ]
        relations = [list(relation) for relation in sorted(self.relations)]
        return {"time": self.time, "place": self.place, "objects": objects, "relations": relations}


def hull(boxes: Sequence[Box]) -> Box:
    """The smallest box around all `boxes`."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


def relations_between(a: Box, b: Box) -> frozenset[str]:
    """Every relation that hull `a` stands in to hull `b`.

    "left of" and "above" (and their inverses): all of `a` lies there, at least MARGIN pixels away. "on": `a` stands on
    the top edge of `b`, between its sides; what is on something is also above it. "carries" is the inverse of "on".
    """
    names = set()
    if _stands_on(a, b):
        names |= {"on", "above"}
    if _stands_on(b, a):
        names |= {"carries", "below"}
    if a.right + MARGIN <= b.left:
        names.add("left of")
    if b.right + MARGIN <= a.left:
        names.add("right of")
    if a.bottom + MARGIN <= b.top:
        names.add("above")
    if b.bottom + MARGIN <= a.top:
        names.add("below")
    return frozenset(names)


def _stands_on(a: Box, b: Box) -> bool:
    return a.bottom == b.top and b.left <= a.left and a.right <= b.right


def all_relations(hulls: Sequence[Box]) -> frozenset[Relation]:
    """The relations between every two groups, in both directions."""
    return frozenset(
        Relation(i, name, j)
        for i, a in enumerate(hulls)
        for j, b in enumerate(hulls)
        if i != j
        for name in relations_between(a, b)
    )


def is_clear(a: Box, b: Box) -> bool:
    """Whether nobody would argue about where `a` is from `b`: apart on some axis, and on each apart or side by side."""
    if _stands_on(a, b) or _stands_on(b, a):
        return True
    across = _gap(a.left, a.right, b.left, b.right)
    along = _gap(a.top, a.bottom, b.top, b.bottom)
    apart = across >= MARGIN or along >= MARGIN
    return (
        apart
        and (across >= MARGIN or -across >= CLEAR_OVERLAP * min(a.width, b.width))
        and (along >= MARGIN or -along >= CLEAR_OVERLAP * min(a.height, b.height))
    )


def _gap(a_low: int, a_high: int, b_low: int, b_high: int) -> int:
    """Free space between two intervals; below zero, the length that they share."""
    return max(a_low, b_low) - min(a_high, b_high)
