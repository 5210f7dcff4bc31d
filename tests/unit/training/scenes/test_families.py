"""A family: one scene and three that differ from it in one thing each."""

from random import Random

import pytest

from training.scenes.facts import Facts
from training.scenes.families import FAMILY_SIZE, family


def differences(base: Facts, other: Facts) -> set[str]:
    found = {name for name in ("time", "place") if getattr(base, name) != getattr(other, name)}
    for a, b in zip(base.groups, other.groups, strict=True):
        found |= {name for name in ("kind", "colour", "size", "count") if getattr(a, name) != getattr(b, name)}
    first_two = {r for r in base.relations if {r.subject, r.target} == {0, 1}}
    if first_two != {r for r in other.relations if {r.subject, r.target} == {0, 1}}:
        found.add("relation")
    return found


@pytest.mark.parametrize("seed", range(60))
def test_members_differ_from_the_base_in_one_thing(seed: int) -> None:
    base, *others = [facts for facts, _ in family(Random(seed))]
    assert len(others) == FAMILY_SIZE - 1
    changes = [differences(base, other) for other in others]
    assert all(len(change) == 1 for change in changes), changes
    assert "kind" not in set.union(*changes)
    assert len(set.union(*changes)) == len(changes)


def test_most_families_swap_a_colour_and_a_relation() -> None:
    both = 0
    for seed in range(60):
        base, *others = [facts for facts, _ in family(Random(seed))]
        both += {"colour", "relation"} <= set.union(*(differences(base, other) for other in others))
    assert both > 36
