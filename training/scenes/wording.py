"""Claims in plain English, in one of many ways.

The text says exactly what is claimed: equal texts always come from equal claims, apart from the order of the groups.
"""

from collections.abc import Sequence
from random import Random

from training.scenes.claims import Claims, GroupClaim
from training.scenes.vocabulary import (
    AERIAL_PHRASES,
    COLOUR_WORDS,
    COUNT_WORDS,
    GROUND_PHRASES,
    KINDS,
    MIXED_PHRASES,
    SIZE_WORDS,
    TIME_PHRASES,
    TIME_VIEWS,
    VIEW_NOUNS,
)

# No "over" and "under": they would say that one is straight above the other.
RELATION_PHRASES = {
    "left of": ("to the left of", "left of", "on the left of", "on the left side of"),
    "right of": ("to the right of", "right of", "on the right of", "on the right side of"),
    "above": ("above", "above", "higher up than", "higher in the picture than"),
    "below": ("below", "below", "lower down than", "lower in the picture than"),
    "on": ("on", "on top of"),
}

# How the target is said first: "a house with a car to its left". {pronoun} and {possessive} stand for the target.
TURNED_PHRASES = {
    "left of": ("to {possessive} left", "on {possessive} left side"),
    "right of": ("to {possessive} right", "on {possessive} right side"),
    "above": ("above {pronoun}",),
    "below": ("below {pronoun}",),
    "on": ("on top", "standing on {pronoun}"),
}

THING_NOUNS = (("object", "objects"), ("thing", "things"))

OPENINGS = ("a picture of ", "a drawing of ", "this picture shows ", "you can see ")

SIDES = {"left of": ("left", "right"), "right of": ("right", "left")}


def sentence(claims: Claims, rng: Random) -> str:
    """One caption that states `claims`; it needs a group, a place or a time, and at most one relation."""
    if not claims.groups:
        return _finished(_view(claims, rng), rng, full_stop=0.3)
    if rng.random() < 0.3:
        before, after = _setting(claims, rng)
        return _finished(before + _clause(claims, rng) + after, rng, full_stop=0.9)
    before, after = _frame(claims, rng)
    return _finished(before + _fragment(claims, rng, alone=not before) + after, rng, full_stop=0.3)


def _finished(text: str, rng: Random, full_stop: float) -> str:
    return f"{text[0].upper()}{text[1:]}." if rng.random() < full_stop else text


def _view(claims: Claims, rng: Random) -> str:
    """A setting without objects: "a beach at night"."""
    view = rng.choice(VIEW_NOUNS[claims.place]) if claims.place else "a picture taken"
    return view + _time(claims, rng)


def _frame(claims: Claims, rng: Random) -> tuple[str, str]:
    """What stands before and after a fragment: its setting, or an opening such as "a beach at night with"."""
    if claims.place and rng.random() < 0.25:
        return f"{_view(claims, rng)} with ", ""
    if claims.time and not claims.place and rng.random() < 0.3:
        return f"{rng.choice(TIME_VIEWS[claims.time])} ", ""
    before, after = _setting(claims, rng)
    return before or (rng.choice(OPENINGS) if rng.random() < 0.2 else ""), after


def _setting(claims: Claims, rng: Random) -> tuple[str, str]:
    """What stands before and after a text to say place and time."""
    place = f" {rng.choice(_place_phrases(claims.place, claims.groups))}" if claims.place else ""
    if claims.time and rng.random() < 0.2:
        return f"{rng.choice(TIME_PHRASES[claims.time])}, ", place
    return "", place + _time(claims, rng)


def _place_phrases(place: str, groups: Sequence[GroupClaim]) -> tuple[str, ...]:
    """Nothing in the air is said to be "on the beach", and nothing on the ground "over a meadow"."""
    zones = {KINDS[group.kind].zones.get(place) if group.kind else None for group in groups}
    if zones == {"air"}:
        return AERIAL_PHRASES[place]
    return MIXED_PHRASES[place] if zones & {None, "air"} else GROUND_PHRASES[place]


def _time(claims: Claims, rng: Random) -> str:
    return f" {rng.choice(TIME_PHRASES[claims.time])}" if claims.time else ""


def _clause(claims: Claims, rng: Random) -> str:
    """A whole sentence: "there are two dogs", "a bird is flying above a car"."""
    if not claims.relations:
        return f"there {_verb(claims.groups[0])} {_list(claims, rng)}"
    verb = _verb(claims.groups[claims.relations[0].subject])
    if rng.random() < 0.3:
        return f"there {verb} {_plain_relation(claims, rng)}"
    return _plain_relation(claims, rng, link=f" {verb} ")


def _fragment(claims: Claims, rng: Random, *, alone: bool) -> str:
    """A noun phrase or a list of them, with the relation if there is one; `alone` where nothing stands before it."""
    terse = alone and rng.random() < 0.25
    if not claims.relations:
        return _list(claims, rng, terse)
    way = rng.random()
    if way < 0.25 and alone:
        return _turned_relation(claims, rng, terse)
    if way < 0.4 and claims.relations[0].name in SIDES:
        return _sides(claims, rng, terse)
    return _plain_relation(claims, rng, terse=terse)


def _turned_relation(claims: Claims, rng: Random, terse: bool) -> str:
    """ "a house with a car to its left"."""
    subject, name, target = claims.relations[0]
    plural = _is_plural(claims.groups[target])
    first, second = (noun_phrase(claims.groups[at], rng, terse) for at in (target, subject))
    phrase = rng.choice(TURNED_PHRASES[name])
    where = phrase.format(pronoun="them" if plural else "it", possessive="their" if plural else "its")
    return f"{first} with {second} {where}"


def _sides(claims: Claims, rng: Random, terse: bool) -> str:
    """ "a car on the left and a house on the right"."""
    subject, name, target = claims.relations[0]
    first, second = (noun_phrase(claims.groups[at], rng, terse) for at in (subject, target))
    return f"{first} on the {SIDES[name][0]} and {second} on the {SIDES[name][1]}"


def _plain_relation(claims: Claims, rng: Random, *, link: str = " ", terse: bool = False) -> str:
    """ "a car to the left of a house"; with a verb as the link, a sentence."""
    subject, name, target = claims.relations[0]
    group = claims.groups[subject]
    first, second = noun_phrase(group, rng, terse), noun_phrase(claims.groups[target], rng, terse)
    return f"{first}{link}{_doing(group, rng)}{rng.choice(RELATION_PHRASES[name])} {second}"


def _list(claims: Claims, rng: Random, terse: bool = False) -> str:
    """All groups after one another: "a dog, two cats and a ball"."""
    if len(claims.groups) == 1:
        only = claims.groups[0]
        return f"{noun_phrase(only, rng, terse)} {_doing(only, rng)}".rstrip()
    *most, last = (noun_phrase(group, rng, terse) for group in claims.groups)
    link = rng.choice(("and", "and", "together with", "along with")) if len(most) == 1 else "and"
    return f"{', '.join(most)} {link} {last}"


def _doing(group: GroupClaim, rng: Random) -> str:
    doing = KINDS[group.kind].doing if group.kind else None
    return f"{doing} " if doing and rng.random() < 0.4 else ""


def _verb(group: GroupClaim) -> str:
    return "are" if _is_plural(group) else "is"


def _is_plural(group: GroupClaim) -> bool:
    return group.count > 1


def noun_phrase(group: GroupClaim, rng: Random, terse: bool = False) -> str:
    """ "two small red balls"; `terse` leaves out the article of a single thing, as people do who search."""
    adjectives = []
    if group.size:
        adjectives.append(rng.choice(SIZE_WORDS[group.size]))
    if group.colour:
        adjectives.append(rng.choice(COLOUR_WORDS[group.colour]))
    singular, plural = rng.choice(KINDS[group.kind].nouns) if group.kind else rng.choice(THING_NOUNS)
    described = " ".join([*adjectives, plural if _is_plural(group) else singular])
    return _with_determiner(group, described, rng, terse and singular != plural)


def _with_determiner(group: GroupClaim, described: str, rng: Random, terse: bool) -> str:
    if group.at_least:
        return described if terse else f"some {described}"
    if group.count == 1 and terse:
        return described
    word = rng.choice(COUNT_WORDS[group.count])
    if word == "a" and described[0] in "aeiou":
        word = "an"
    return f"{word} {described}"
