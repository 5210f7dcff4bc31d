"""Plans become positions, or are refused where they do not fit."""

from random import Random

import pytest

from training.scenes.facts import Group, hull, relations_between
from training.scenes.layout import Plan, Stage, place_groups

STAGE = Stage(horizon=110, ground=190)
BALL = Group("ball", "red", "small", 1)
BUS = Group("bus", "blue", "medium", 1)
BIRD = Group("bird", "green", "medium", 1)


@pytest.mark.parametrize("target", [{"left of"}, {"right of"}, {"on", "above"}])
def test_the_target_is_met_exactly(target: set[str]) -> None:
    facts = place_groups(Plan("day", "beach", (BALL, BUS), frozenset(target)), STAGE, Random(1))
    assert facts is not None
    assert relations_between(hull(facts.boxes[0]), hull(facts.boxes[1])) == target


@pytest.mark.parametrize("target", [{"above"}, {"above", "left of"}, {"right of"}])
def test_what_flies_can_be_anywhere(target: set[str]) -> None:
    facts = place_groups(Plan("day", "beach", (BIRD, BUS), frozenset(target)), STAGE, Random(1))
    assert facts is not None
    assert relations_between(hull(facts.boxes[0]), hull(facts.boxes[1])) == target


def test_what_stands_on_the_ground_stands_there() -> None:
    for seed in range(20):
        facts = place_groups(Plan("day", "snow", (BUS,)), STAGE, Random(seed))
        assert facts is not None
        assert abs(facts.boxes[0][0].bottom - STAGE.ground) <= 3


def test_a_plan_that_is_too_full_is_refused() -> None:
    wide = tuple(Group(kind, "red", "large", 2) for kind in ("bus", "car"))
    assert place_groups(Plan("day", "beach", wide, frozenset({"left of"})), STAGE, Random(0)) is None


def test_an_impossible_relation_is_refused() -> None:
    assert place_groups(Plan("day", "beach", (BALL, BUS), frozenset({"below"})), STAGE, Random(0)) is None
