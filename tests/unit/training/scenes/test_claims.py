"""What claims mean, on images small enough to see by eye."""

import pytest

from training.scenes.claims import Claims, FactIndex, GroupClaim
from training.scenes.facts import Box, Facts, Group, Relation, all_relations, hull


def image(*groups: Group, time: str = "day", place: str = "beach") -> Facts:
    """The groups from left to right, far apart."""
    boxes = tuple(
        tuple(Box(60 * i + 3 * n, 100, 60 * i + 3 * n + 2, 130) for n in range(g.count)) for i, g in enumerate(groups)
    )
    return Facts(time, place, groups, boxes, all_relations([hull(found) for found in boxes]))


RED_BALL = Group("ball", "red", "small", 1)
TWO_CUPS = Group("cup", "blue", "large", 2)
IMAGE = image(RED_BALL, TWO_CUPS)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (GroupClaim("ball", None, None, 1), True),
        (GroupClaim("ball", "red", "small", 1), True),
        (GroupClaim("ball", "blue", None, 1), False),
        (GroupClaim("cup", None, "small", 2), False),
        (GroupClaim("cup", None, None, 2), True),
        (GroupClaim("cup", None, None, 1), False),
        (GroupClaim("cup", None, None, 2, at_least=True), True),
        (GroupClaim("cup", None, None, 3, at_least=True), False),
        (GroupClaim("ball", None, None, 2, at_least=True), False),
        (GroupClaim(None, "red", None, 1), True),
        (GroupClaim(None, "red", None, 2), False),
        (GroupClaim("dog", None, None, 1), False),
    ],
)
def test_one_group(claim: GroupClaim, expected: bool) -> None:
    claims = Claims((claim,))
    assert claims.hold_for(IMAGE) is expected
    assert FactIndex([IMAGE]).images_of(claims) == ([0] if expected else [])


def test_two_claims_never_share_a_group() -> None:
    ball, thing = GroupClaim("ball", None, None, 1), GroupClaim(None, "red", None, 1)
    assert not Claims((ball, thing)).hold_for(IMAGE)
    assert FactIndex([IMAGE]).images_of(Claims((ball, thing))) == []


def test_relations_bind_the_groups_they_name() -> None:
    ball, cups = GroupClaim("ball", None, None, 1), GroupClaim("cup", None, None, 2)
    assert Claims((ball, cups), (Relation(0, "left of", 1),)).hold_for(IMAGE)
    assert Claims((cups, ball), (Relation(0, "right of", 1),)).hold_for(IMAGE)
    turned = Claims((cups, ball), (Relation(0, "left of", 1),))
    assert not turned.hold_for(IMAGE)
    assert turned.without_relations().hold_for(IMAGE)


def test_place_and_time() -> None:
    index = FactIndex([IMAGE, image(RED_BALL, time="night"), image(RED_BALL, place="snow")])
    assert index.images_of(Claims(place="beach")) == [0, 1]
    assert index.images_of(Claims(time="day")) == [0, 2]
    assert index.images_of(Claims((GroupClaim("ball", None, None, 1),), place="beach", time="night")) == [1]
    assert index.images_of(Claims()) == [0, 1, 2]
    assert index.images_of(Claims(place="desert")) == []
