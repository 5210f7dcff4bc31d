"""Where the objects of a planned scene stand: random positions, kept only if every relation is beyond doubt."""

from dataclasses import dataclass
from itertools import combinations
from random import Random

from training.scenes.facts import (
    IMAGE_SIDE,
    MARGIN,
    Box,
    Facts,
    Group,
    all_relations,
    hull,
    is_clear,
    relations_between,
)
from training.scenes.vocabulary import EXTENT, KINDS, Zone

ATTEMPTS = 60
ITEM_GAP = 4
"""Pixels between two objects of one group: they can be counted, and still read as one group."""

ROWS = {1: ((1,),), 2: ((2,), (1, 1)), 3: ((3,), (1, 2), (2, 1)), 4: ((4,), (2, 2), (1, 3))}


@dataclass(frozen=True)
class Plan:
    """A scene before it has positions. `target`: exactly the relations of the first group to the second."""

    time: str
    place: str
    groups: tuple[Group, ...]
    target: frozenset[str] = frozenset()

    def zone(self, position: int) -> Zone:
        """Where the group at `position` is at this place."""
        return KINDS[self.groups[position].kind].zones[self.place]


@dataclass(frozen=True)
class Stage:
    """The two lines of the background that objects keep to; y in pixels."""

    horizon: int
    ground: int


def place_groups(plan: Plan, stage: Stage, rng: Random) -> Facts | None:
    """The scene with positions, or None where none was found: the plan may be too full for the image."""
    for _ in range(ATTEMPTS):
        boxes = _propose(plan, stage, rng)
        if boxes is not None and _is_acceptable(plan, [hull(group) for group in boxes]):
            relations = all_relations([hull(group) for group in boxes])
            return Facts(plan.time, plan.place, plan.groups, tuple(boxes), relations)
    return None


def _is_acceptable(plan: Plan, hulls: list[Box]) -> bool:
    if not all(is_clear(a, b) for a, b in combinations(hulls, 2)):
        return False
    return len(hulls) == 1 or relations_between(hulls[0], hulls[1]) == plan.target


def _propose(plan: Plan, stage: Stage, rng: Random) -> list[tuple[Box, ...]] | None:
    """Boxes of each group, inside the image and in the group's zone; None where a group does not fit."""
    proposal: list[tuple[Box, ...]] = []
    for position in reversed(range(len(plan.groups))):
        carrier = hull(proposal[-1]) if position == 0 and "on" in plan.target else None
        zone = plan.zone(position)
        items = _arrange(plan.groups[position], zone, carrier is not None, rng)
        block = hull(items)
        corner = _corner_on(carrier, block, rng) if carrier else _corner_in(zone, block, stage, rng)
        if corner is None:
            return None
        proposal.append(tuple(item.moved(*corner) for item in items))
    return proposal[::-1]


def _arrange(group: Group, zone: Zone, carried: bool, rng: Random) -> list[Box]:
    """The group's objects in one row or two, centred, with the corner of their hull at (0, 0)."""
    items: list[Box] = []
    top = 0
    for length in rng.choice(_row_choices(group, zone, carried)):
        items += [item.moved(0, top) for item in _row(group, length, level=zone == "ground", rng=rng)]
        top = hull(items).bottom + ITEM_GAP
    outline = hull(items)
    return [item.moved(-outline.left, -outline.top) for item in items]


def _row_choices(group: Group, zone: Zone, carried: bool) -> tuple[tuple[int, ...], ...]:
    """The lengths of the rows. A second row on the ground stands further back: only small things stay off the sky."""
    if zone == "air" or zone == "water":
        return ROWS[group.count]
    if carried or zone == "surface" or group.size != "small" or group.count < 3 or KINDS[group.kind].aspect < 0.8:
        return ((group.count,),)
    return ROWS[group.count]


def _row(group: Group, length: int, *, level: bool, rng: Random) -> list[Box]:
    """`length` objects side by side around x = 0, on one line if `level`, else each a little higher or lower."""
    row: list[Box] = []
    left = 0
    for _ in range(length):
        width, height = _item_size(group, rng)
        bottom = 0 if level else rng.randint(-height // 5, 0)
        row.append(Box(left, bottom - height, left + width, bottom))
        left += width + ITEM_GAP + rng.randint(0, width // 8)
    outline = hull(row)
    return [item.moved(-outline.width // 2, -outline.top) for item in row]


def _item_size(group: Group, rng: Random) -> tuple[int, int]:
    extent = EXTENT[group.size] * rng.uniform(0.94, 1.06)
    root = KINDS[group.kind].aspect ** 0.5
    return round(extent * root), round(extent / root)


def _corner_on(carrier: Box, block: Box, rng: Random) -> tuple[int, int] | None:
    """Standing on the top edge of `carrier`."""
    free = carrier.width - block.width
    top = carrier.top - block.height
    if free < 0 or top < MARGIN:
        return None
    return carrier.left + rng.randint(free // 4, free - free // 4), top


def _corner_in(zone: Zone, block: Box, stage: Stage, rng: Random) -> tuple[int, int] | None:
    free = IMAGE_SIDE - 2 * MARGIN - block.width
    lowest, highest = _vertical_range(zone, block.height, stage)
    if free < 0 or highest < MARGIN or lowest < highest:
        return None
    return MARGIN + rng.randint(0, free), rng.randint(highest, lowest)


def _vertical_range(zone: Zone, height: int, stage: Stage) -> tuple[int, int]:
    """The lowest and the highest top edge that a block of this height may have in `zone`."""
    if zone == "air":
        return stage.ground - 16 - height, MARGIN
    if zone == "water":
        return IMAGE_SIDE - MARGIN - height, stage.horizon + 18
    line = stage.ground if zone == "ground" else stage.horizon + 12
    return line - height + 3, line - height - 3
