"""Families of scenes: one random scene and three that differ from it in one thing each.

The difference is what makes soft negatives: the same kinds of object, but colours exchanged, the relation turned
round, or another size, count, time or place.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from training.scenes.facts import INVERSE, Facts, Group
from training.scenes.layout import Plan, Stage, place_groups
from training.scenes.vocabulary import COLOURS, KINDS, LAND, PLACES, SIZES, TIMES, Zone

FAMILY_SIZE = 4
MOST_OF_SIZE = {"small": 4, "medium": 3, "large": 2}
HEIGHT_ORDER: dict[Zone, int] = {"air": 0, "ground": 1, "surface": 1, "water": 2}

Scene = tuple[Facts, Stage]
Edit = Callable[[Plan, Random], Plan | None]


def family(rng: Random) -> list[Scene]:
    """FAMILY_SIZE scenes: a base, one with other colours, one with another relation, one with one other change.

    Where an edit does not apply to the base (a single object has no relation) or does not fit into the image,
    another one takes its place.
    """
    while True:
        base = _random_plan(rng)
        scenes = _scenes_of(base, rng)
        if len(scenes) == FAMILY_SIZE:
            return scenes


def _scenes_of(base: Plan, rng: Random) -> list[Scene]:
    first = _place(base, rng)
    if first is None:
        return []
    scenes = [first]
    others: list[Edit] = [_other_size, _other_count, _other_time, _other_place]
    for edit in [_other_colours, _other_relation, *rng.sample(others, len(others))]:
        plan = edit(base, rng)
        scene = None if plan is None or len(scenes) == FAMILY_SIZE else _place(plan, rng)
        if scene is not None:
            scenes.append(scene)
    return scenes


def _place(plan: Plan, rng: Random) -> Scene | None:
    stage = _random_stage(plan.place, rng)
    facts = place_groups(plan, stage, rng)
    return None if facts is None else (facts, stage)


def _random_stage(place: str, rng: Random) -> Stage:
    if place == "sea":
        horizon = rng.randint(100, 114)
        return Stage(horizon, ground=horizon + 10)
    return Stage(rng.randint(104, 120), ground=rng.randint(180, 204))


def _random_plan(rng: Random) -> Plan:
    place = rng.choices(PLACES, weights=[5, 5, 5, 5, 4, 4])[0]
    number = rng.choices((1, 2, 3), weights=(1, 6, 3))[0]
    kinds = _random_kinds(place, number, rng)
    colours = rng.sample(list(COLOURS), number)
    groups = tuple(_random_group(kind, colour, number, rng) for kind, colour in zip(kinds, colours, strict=True))
    plan = Plan(rng.choice(TIMES), place, groups)
    return plan if number == 1 else _with_random_target(plan, rng)


def _random_kinds(place: str, number: int, rng: Random) -> list[str]:
    """Different kinds that may be at `place`; more often than chance, the first can stand on the second."""
    possible = [kind for kind in KINDS if place in KINDS[kind].zones]
    if place == "sea" or number == 1 or rng.random() < 0.85:
        return rng.sample(possible, number)
    carrier = rng.choice([kind for kind in possible if KINDS[kind].carries])
    standing = rng.choice([kind for kind in possible if KINDS[kind].rests and kind != carrier])
    others = [kind for kind in possible if kind not in (standing, carrier)]
    return [standing, carrier, *rng.sample(others, number - 2)]


def _random_group(kind: str, colour: str, number: int, rng: Random) -> Group:
    size = rng.choices(SIZES, weights=(4, 4, 3) if number < 3 else (5, 4, 1))[0]
    count = rng.choices((1, 2, 3, 4), weights=(5, 3, 2, 2))[0]
    return Group(kind, colour, size, min(count, MOST_OF_SIZE[size]))


def _with_random_target(plan: Plan, rng: Random) -> Plan:
    """`plan` with a relation between its first two groups; where one can stand on the other, it often does."""
    first, second = plan.groups[:2]
    if KINDS[first.kind].rests and KINDS[second.kind].carries and rng.random() < 0.7:
        standing = replace(first, size=rng.choice(("small", "medium")), count=rng.choice((1, 1, 2)))
        carrier = replace(second, size="large", count=1)
        return replace(plan, groups=(standing, carrier, *plan.groups[2:]), target=frozenset({"on", "above"}))
    return replace(plan, target=rng.choice(_possible_targets(plan)))


def _possible_targets(plan: Plan) -> list[frozenset[str]]:
    """The relations that the zones of the first two groups allow, apart from standing on one another."""
    zones = plan.zone(0), plan.zone(1)
    heights = [HEIGHT_ORDER[zone] for zone in zones]
    both_fly = zones == ("air", "air")
    targets = [] if "water" in zones else [{"left of"}, {"right of"}]
    if heights[0] < heights[1] or both_fly:
        targets += [{"above"}, {"above", "left of"}, {"above", "right of"}]
    if heights[0] > heights[1] or both_fly:
        targets += [{"below"}, {"below", "left of"}, {"below", "right of"}]
    return [frozenset(target) for target in targets]


def _other_colours(plan: Plan, rng: Random) -> Plan:
    """The first two groups exchange colours; a single one takes another."""
    if len(plan.groups) == 1:
        group = plan.groups[0]
        colour = rng.choice([name for name in COLOURS if name != group.colour])
        return replace(plan, groups=(replace(group, colour=colour),))
    first, second, *rest = plan.groups
    exchanged = (replace(first, colour=second.colour), replace(second, colour=first.colour))
    return replace(plan, groups=(*exchanged, *rest))


def _other_relation(plan: Plan, rng: Random) -> Plan | None:
    """The first two groups change places; where one cannot be up or down there, it comes to stand elsewhere."""
    if len(plan.groups) == 1:
        return None
    reverse = frozenset(INVERSE[name] for name in plan.target)
    possible = _possible_targets(plan)
    if reverse in possible:
        return replace(plan, target=reverse)
    return replace(plan, target=rng.choice([target for target in possible if target != plan.target]))


def _other_size(plan: Plan, rng: Random) -> Plan | None:
    group = plan.groups[0]
    sizes = [size for size in SIZES if size != group.size and MOST_OF_SIZE[size] >= group.count]
    if not sizes:
        return None
    return replace(plan, groups=(replace(group, size=rng.choice(sizes)), *plan.groups[1:]))


def _other_count(plan: Plan, rng: Random) -> Plan:
    position = rng.randrange(len(plan.groups))
    group = plan.groups[position]
    counts = [count for count in range(1, MOST_OF_SIZE[group.size] + 1) if count != group.count]
    groups = list(plan.groups)
    groups[position] = replace(group, count=rng.choice(counts))
    return replace(plan, groups=tuple(groups))


def _other_time(plan: Plan, rng: Random) -> Plan:
    return replace(plan, time=rng.choice([time for time in TIMES if time != plan.time]))


def _other_place(plan: Plan, rng: Random) -> Plan | None:
    """Another place on land; what is at sea stays there."""
    if plan.place == "sea":
        return None
    possible = [place for place in LAND if place != plan.place and _can_all_be_at(plan, place)]
    return replace(plan, place=rng.choice(possible)) if possible else None


def _can_all_be_at(plan: Plan, place: str) -> bool:
    return all(place in KINDS[group.kind].zones for group in plan.groups)
