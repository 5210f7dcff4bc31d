"""Truth recomputed from `scenes.json` by the slowest and plainest means, with nothing of the generator's code."""

from itertools import product
from typing import Any

MARGIN = 6

Json = dict[str, Any]


def outline(boxes: list[list[int]]) -> list[int]:
    return [
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    ]


def relation_holds(name: str, first: Json, second: Json) -> bool:
    """Decided from the boxes of two objects' groups alone."""
    a, b = outline(first["boxes"]), outline(second["boxes"])
    if name == "left of":
        return b[0] - a[2] >= MARGIN
    if name == "right of":
        return a[0] - b[2] >= MARGIN
    if name == "on":
        return a[3] == b[1] and a[0] >= b[0] and a[2] <= b[2]
    if name == "carries":
        return relation_holds("on", second, first)
    if name == "above":
        return b[1] - a[3] >= MARGIN or relation_holds("on", first, second)
    if name == "below":
        return relation_holds("above", second, first)
    raise AssertionError(name)


def group_fits(claim: Json, group: Json) -> bool:
    for attribute in ("kind", "colour", "size"):
        if claim[attribute] is not None and claim[attribute] != group[attribute]:
            return False
    number, claimed = len(group["boxes"]), int(claim["count"])
    return number >= claimed if claim["at_least"] else number == claimed


def caption_holds(claims: Json, facts: Json) -> bool:
    """Tries every way of pairing the claimed groups with the image's groups."""
    if claims["place"] is not None and claims["place"] != facts["place"]:
        return False
    if claims["time"] is not None and claims["time"] != facts["time"]:
        return False
    groups = facts["objects"]
    for chosen in product(range(len(groups)), repeat=len(claims["groups"])):
        if len(set(chosen)) < len(chosen):
            continue
        if not all(group_fits(claim, groups[i]) for claim, i in zip(claims["groups"], chosen, strict=True)):
            continue
        if all(relation_holds(name, groups[chosen[i]], groups[chosen[j]]) for i, name, j in claims["relations"]):
            return True
    return False
