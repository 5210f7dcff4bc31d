"""Five captions for an image, each with the claims that it makes: relations, lists, parts, settings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from training.scenes.claims import Claims, GroupClaim
from training.scenes.facts import Facts, Relation
from training.scenes.vocabulary import SIZE_WORDS
from training.scenes.wording import sentence

CAPTIONS_PER_IMAGE = 5


@dataclass(frozen=True)
class Caption:
    text: str
    claims: Claims


def captions_of(facts: Facts, rng: Random) -> list[Caption]:
    """CAPTIONS_PER_IMAGE captions with different texts, all of them true of the image."""
    if len(facts.groups) == 1:
        forms: list[Form] = [_one_group, _one_group, _in_setting, _in_setting, _one_thing]
    else:
        free = rng.choice((_relation, _in_setting)), rng.choice((_relation, _one_thing, _setting))
        forms = [_relation, _several_groups, _one_group, *free]
    captions: dict[str, Caption] = {}
    while len(captions) < CAPTIONS_PER_IMAGE:
        claims = forms[len(captions)](facts, rng)
        caption = Caption(sentence(claims, rng), claims)
        captions.setdefault(caption.text, caption)
    return list(captions.values())


Form = Callable[[Facts, Random], Claims]


def _describe(facts: Facts, position: int, rng: Random, colour: float = 0.7, size: float = 0.35) -> GroupClaim:
    """One group of the image, with each attribute stated at the given probability."""
    group = facts.groups[position]
    loose = group.count > 1 and rng.random() < 0.15
    return GroupClaim(
        kind=group.kind,
        colour=group.colour if rng.random() < colour else None,
        size=group.size if group.size in SIZE_WORDS and rng.random() < size else None,
        count=2 if loose else group.count,
        at_least=loose,
    )


def _relation(facts: Facts, rng: Random) -> Claims:
    """Two groups and how one is to the other."""
    subject, name, target = rng.choice(_named_relations(facts))
    groups = (_describe(facts, subject, rng), _describe(facts, target, rng))
    if rng.random() < 0.15:
        groups = (_as_thing(facts, subject, rng), groups[1])
    return _with_setting(Claims(groups, (Relation(0, name, 1),)), facts, rng, place=0.25, time=0.2)


def _named_relations(facts: Facts) -> list[Relation]:
    """The relations people speak of: "on" takes the place of "above", and "carries" is said the other way round."""
    standing = {(subject, target) for subject, name, target in facts.relations if name in ("on", "carries")}
    return sorted(
        relation
        for relation in facts.relations
        if relation.name == "on" or (relation.subject, relation.target) not in standing
    )


def _several_groups(facts: Facts, rng: Random) -> Claims:
    number = rng.randint(2, len(facts.groups))
    positions = rng.sample(range(len(facts.groups)), number)
    groups = tuple(_describe(facts, position, rng, colour=0.85) for position in positions)
    return _with_setting(Claims(groups), facts, rng, place=0.3, time=0.2)


def _one_group(facts: Facts, rng: Random) -> Claims:
    group = _describe(facts, rng.randrange(len(facts.groups)), rng, colour=0.9, size=0.5)
    return _with_setting(Claims((group,)), facts, rng, place=0.35, time=0.15)


def _one_thing(facts: Facts, rng: Random) -> Claims:
    thing = _as_thing(facts, rng.randrange(len(facts.groups)), rng)
    return _with_setting(Claims((thing,)), facts, rng, place=0.6, time=0.4)


def _as_thing(facts: Facts, position: int, rng: Random) -> GroupClaim:
    """A group whose kind is not named: "a red object", "two small green things"."""
    return replace(_describe(facts, position, rng, colour=1.0), kind=None)


def _in_setting(facts: Facts, rng: Random) -> Claims:
    positions = rng.sample(range(len(facts.groups)), rng.choice((1, 1, len(facts.groups))))
    groups = tuple(_describe(facts, position, rng, size=0.2) for position in positions)
    return _with_setting(Claims(groups), facts, rng, place=0.85, time=0.75)


def _setting(facts: Facts, _: Random) -> Claims:
    return Claims(place=facts.place, time=facts.time)


def _with_setting(claims: Claims, facts: Facts, rng: Random, *, place: float, time: float) -> Claims:
    """`claims` with the place and the time stated at the given probabilities."""
    return replace(
        claims,
        place=facts.place if rng.random() < place else None,
        time=facts.time if rng.random() < time else None,
    )
