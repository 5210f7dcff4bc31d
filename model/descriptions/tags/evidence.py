"""What the probabilities of the classes say together: 118 breeds of which none is certain are still a dog."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.descriptions.tags.vocabulary import TagClass

MOST_LIKELY = 60  # classes; on photographs they have 93 % of the probability, and no other is ever named

Masses = Mapping[str, float]


class Tag(NamedTuple):
    """A class with its probability."""

    is_a: TagClass
    probability: float


class Evidence(NamedTuple):
    """Probabilities summed over the classes that agree; every mapping has its largest first.

    Attributes:
        kinds: of everyday kinds, "a dog".
        animals: the part of them that are animals.
        names: the likeliest exact name of each kind, with its probability.
        people: of who is seen doing what.
        places: of where it is.
        coats: of the colours of each kind.
    """

    kinds: Masses
    animals: Masses
    names: Mapping[str, tuple[str, float]]
    people: Masses
    places: Masses
    coats: Mapping[str, Masses]


def gather(probabilities: NDArray[np.float32], classes: Sequence[TagClass]) -> Evidence:
    """The evidence of probabilities [C], one a class."""
    likeliest = np.argsort(-probabilities, kind="stable")[:MOST_LIKELY]
    tags = [Tag(classes[row], float(probabilities[row])) for row in likeliest]
    kinds = _summed((tag.is_a.kind, tag) for tag in tags)
    return Evidence(
        kinds=kinds,
        animals=_summed((tag.is_a.kind, tag) for tag in tags if tag.is_a.group == "animal"),
        names={tag.is_a.kind: (tag.is_a.name, tag.probability) for tag in reversed(tags)},
        people=_summed((tag.is_a.people, tag) for tag in tags),
        places=_summed((tag.is_a.place, tag) for tag in tags),
        coats={kind: _summed((tag.is_a.colour, tag) for tag in tags if tag.is_a.kind == kind) for kind in kinds},
    )


def _summed(tags: Iterable[tuple[str, Tag]]) -> Masses:
    """The probability of each word that is not empty."""
    masses: defaultdict[str, float] = defaultdict(float)
    for word, tag in tags:
        if word:
            masses[word] += tag.probability
    return dict(sorted(masses.items(), key=lambda item: -item[1]))
