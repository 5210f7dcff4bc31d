"""What a caption claims, and when a claim holds for an image.

A caption claims some groups of objects, relations between them, and perhaps the place and the time. It holds for a
image if its groups can be assigned to different groups of the image so that every stated attribute, every relation,
the place and the time are true. What a caption does not state is free: an image may hold more than its caption says.

Counts: a group is everything of its kind in an image. "a ball" and "two balls" state the exact number ("a ball" does
not hold for three), "some balls" states at least two.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations, product

from training.scenes.facts import Facts, Group, Relation

FEATURES = ("kind", "colour", "size")


@dataclass(frozen=True)
class GroupClaim:
    """One group as a caption describes it; None is not stated, a `kind` of None is "object" or "thing".

    `count` is exact, or a lower bound with `at_least`.
    """

    kind: str | None
    colour: str | None
    size: str | None
    count: int
    at_least: bool = False

    def fits(self, group: Group) -> bool:
        """Whether every attribute stated is true of `group`."""
        stated = all(getattr(self, name) in (None, getattr(group, name)) for name in FEATURES)
        return stated and (group.count >= self.count if self.at_least else group.count == self.count)


@dataclass(frozen=True)
class Claims:
    """All that one caption claims; `relations` refer to positions in `groups`."""

    groups: tuple[GroupClaim, ...] = ()
    relations: tuple[Relation, ...] = ()
    place: str | None = None
    time: str | None = None

    def as_json(self) -> dict[str, object]:
        """The claims as they stand in `scenes.json`."""
        return {
            "time": self.time,
            "place": self.place,
            "groups": [asdict(group) for group in self.groups],
            "relations": [list(relation) for relation in self.relations],
        }

    def without_relations(self) -> "Claims":
        """The same groups and setting, wherever the groups are."""
        return Claims(self.groups, (), self.place, self.time)

    def hold_for(self, facts: Facts) -> bool:
        """Whether some assignment of the claimed groups to different groups of the image makes everything true."""
        if self.place not in (None, facts.place) or self.time not in (None, facts.time):
            return False
        assignments = permutations(range(len(facts.groups)), len(self.groups))
        return any(self._true_under(assignment, facts) for assignment in assignments)

    def _true_under(self, assignment: Sequence[int], facts: Facts) -> bool:
        """`assignment[i]` is the position of the image's group that claimed group i stands for."""
        fits = all(claim.fits(facts.groups[at]) for claim, at in zip(self.groups, assignment, strict=True))
        return fits and all(
            Relation(assignment[subject], name, assignment[target]) in facts.relations
            for subject, name, target in self.relations
        )


class FactIndex:
    """Finds the images of a data set for which claims hold, without a look at each image.

    An inverted index: for every description of one group that a caption can give, the images that hold such a group.
    The candidates for a caption are the intersection over its groups, place and time; only they are examined.
    """

    def __init__(self, facts: Sequence[Facts]) -> None:
        """`facts[image_id]` are the facts of that image."""
        self._facts = facts
        self._images: dict[object, set[int]] = {}
        self._answers: dict[Claims, list[int]] = {}
        for image_id, scene in enumerate(facts):
            for key in _keys(scene):
                self._images.setdefault(key, set()).add(image_id)

    def images_of(self, claims: Claims) -> list[int]:
        """The ids of all images for which `claims` hold, ascending."""
        if claims not in self._answers:
            candidates = self._candidates(claims)
            self._answers[claims] = [image for image in candidates if claims.hold_for(self._facts[image])]
        return self._answers[claims]

    def _candidates(self, claims: Claims) -> list[int]:
        stated: list[object] = [*claims.groups]
        stated += [("place", claims.place)] if claims.place else []
        stated += [("time", claims.time)] if claims.time else []
        found = sorted((self._images.get(key, set()) for key in stated), key=len)
        return sorted(set.intersection(*found)) if found else list(range(len(self._facts)))


def _keys(facts: Facts) -> Iterator[object]:
    """Everything that a caption can state of this image in one piece."""
    yield "place", facts.place
    yield "time", facts.time
    for group in facts.groups:
        counts = [(group.count, False)] + [(bound, True) for bound in range(2, group.count + 1)]
        for kind, colour, size, (count, at_least) in product(
            (None, group.kind), (None, group.colour), (None, group.size), counts
        ):
            yield GroupClaim(kind, colour, size, count, at_least)
