"""Evidence in words: what is there and where, then who is likely to be there; plain sentences, as captions are."""

from collections.abc import Iterator, Mapping, Sequence

from model.descriptions.tags.colours import ColourLayout
from model.descriptions.tags.evidence import Evidence
from model.descriptions.tags.vocabulary import Wording

# What the lower third of an image is, going by its colour alone.
GROUNDS: Mapping[str, str] = {
    "green": "on the grass",
    "white": "in the snow",
    "blue": "in the water",
    "tan": "on the sand",
    "brown": "on the ground",
}
VIVID = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
# Colours that clothes are told by.
WORN = (*VIVID, "white", "black")
SOMEBODY = "a person"

_VOWELS = "aeiou"


def sentence(evidence: Evidence, layout: ColourLayout, wording: Wording) -> str:
    """One sentence on an animal, two on everything else; equal evidence gets equal words."""
    if _is_of_animal(evidence, wording):
        animal = next(iter(evidence.animals))
        parts = [_scene(_animal(animal, evidence, wording), animal, evidence, layout, wording)]
    else:
        kind = next(iter(evidence.kinds))
        parts = [_scene(kind, kind, evidence, layout, wording), *_people(evidence, layout, wording)]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


def joined(phrases: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *rest, last = phrases
    return f"{', '.join(rest)} and {last}" if rest else last


def coloured(noun: str, colour: str) -> str:
    """ "a dog" and "orange" to "an orange dog"; nouns without an article stay so."""
    article, _, bare = noun.partition(" ")
    if article not in ("a", "an"):
        return f"{colour} {noun}"
    return f"{'an' if colour[0] in _VOWELS else 'a'} {colour} {bare}"


def _is_of_animal(evidence: Evidence, wording: Wording) -> bool:
    """Animals that people are seen with, such as horses under riders, are told of by their people."""
    animals = sum(evidence.animals.values())
    people = next(iter(evidence.people.values()), 0.0)
    return animals > wording.animal and people < wording.rider * animals


def _animal(kind: str, evidence: Evidence, wording: Wording) -> str:
    """With its coat and what it is exactly: "a brown dog, a boxer,"."""
    colour, share = next(iter(evidence.coats[kind].items()), ("", 0.0))
    noun = coloured(kind, colour) if share > wording.coat * evidence.kinds[kind] else kind
    name, probability = evidence.names[kind]
    return f"{noun}, {name}," if name != kind and probability > wording.name else noun


def _scene(subject: str, kind: str, evidence: Evidence, layout: ColourLayout, wording: Wording) -> str:
    """The subject with its place, what else is there, the sky and the colours."""
    place = _place(evidence, layout, wording)
    others = [other for other, mass in evidence.kinds.items() if other != kind and mass > wording.other]
    beside = f"with {joined(others[: wording.others])}" if others and wording.others else ""
    sky = "under a blue sky" if layout.upper["blue"] > wording.sky else ""
    vivid = [name for name in VIVID if layout.whole[name] > wording.vivid and not (sky and name == "blue")]
    colours = f", in {joined(vivid)}" if vivid else ""
    return " ".join(part for part in (subject, place, beside, sky) if part).removesuffix(",") + colours


def _place(evidence: Evidence, layout: ColourLayout, wording: Wording) -> str:
    """What classes and the colour of the ground say together; "" where that is too little."""
    places = dict(evidence.places)
    for colour, place in GROUNDS.items():
        if (share := layout.lower[colour]) >= wording.ground:
            places[place] = places.get(place, 0.0) + wording.ground_weight * share
    likeliest = max(places, key=lambda place: places[place], default="")
    return likeliest if likeliest and places[likeliest] > wording.place else ""


def _people(evidence: Evidence, layout: ColourLayout, wording: Wording) -> Iterator[str]:
    """Who is likely to be there, in the colour that stands out in the middle.

    ImageNet has no class of people: where no class speaks of one, that colour is taken for what somebody wears.
    """
    phrase, probability = next(iter(evidence.people.items()), ("", 0.0))
    over = layout.centre_over_border
    colour = max(WORN, key=lambda name: over[name])
    worn = f" in {colour}" if over[colour] > wording.worn else ""
    if probability > wording.people or worn:
        yield (phrase if probability > wording.people else SOMEBODY) + worn
