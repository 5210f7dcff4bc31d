"""Relations between boxes."""

import pytest

from training.scenes.facts import Box, Relation, all_relations, hull, is_clear, relations_between

BASE = Box(100, 100, 150, 150)


@pytest.mark.parametrize(
    ("other", "relations", "clear"),
    [
        (Box(40, 100, 94, 150), {"left of"}, True),
        (Box(40, 100, 95, 150), set(), False),
        (Box(156, 110, 200, 140), {"right of"}, True),
        (Box(110, 40, 140, 94), {"above"}, True),
        (Box(110, 160, 140, 200), {"below"}, True),
        (Box(20, 20, 60, 60), {"left of", "above"}, True),
        (Box(160, 140, 200, 190), {"right of"}, False),
        (Box(110, 70, 140, 100), {"on", "above"}, True),
        (Box(90, 70, 140, 100), set(), False),
        (Box(80, 150, 170, 200), {"carries", "below"}, True),
        (Box(120, 120, 170, 170), set(), False),
    ],
)
def test_relations_of_two_boxes(other: Box, relations: set[str], clear: bool) -> None:
    assert relations_between(other, BASE) == relations
    assert is_clear(other, BASE) is is_clear(BASE, other) is clear


def test_relations_are_closed_under_their_inverse() -> None:
    found = all_relations([BASE, Box(20, 20, 60, 60)])
    assert found == {
        Relation(1, "left of", 0),
        Relation(1, "above", 0),
        Relation(0, "right of", 1),
        Relation(0, "below", 1),
    }


def test_hull_is_the_smallest_box_around_all() -> None:
    assert hull([Box(1, 5, 3, 9), Box(2, 1, 8, 6)]) == Box(1, 1, 8, 9)
