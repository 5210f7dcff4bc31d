"""Fixed evidence and colours, exact sentences."""

from collections.abc import Mapping

import numpy as np
import pytest

from model.descriptions.tags.colours import CELLS, NAMES, ColourLayout
from model.descriptions.tags.evidence import gather
from model.descriptions.tags.grammar import coloured, joined, sentence
from model.descriptions.tags.vocabulary import Wording
from tests.tagging import tag_class

BEAGLE = tag_class("a beagle", "a dog", "animal", colour="brown and white")
BOXER = tag_class("a boxer", "a dog", "animal", colour="brown")
PUG = tag_class("a pug", "a dog", "animal", colour="tan")
SORREL = tag_class("a sorrel horse", "a horse", "animal", people="a person riding a horse", colour="brown")
BALL = tag_class("a tennis ball", "a tennis ball", people="a tennis player")
BIKE = tag_class("a mountain bike", "a bicycle", people="a person riding a bike", place="on a dirt trail")
JEANS = tag_class("jeans", "jeans", people="a person in jeans")
LAMP = tag_class("a lamp", "a lamp", place="indoors")
CLASSES = (BEAGLE, BOXER, PUG, SORREL, BALL, BIKE, JEANS, LAMP)


def layout(*rows: Mapping[str, float], middle: Mapping[str, float] | None = None) -> ColourLayout:
    """Upper, middle and lower third, each of equal cells; what a share leaves over is grey."""
    shares = np.zeros((CELLS, CELLS, len(NAMES)), np.float32)
    for row, named in enumerate(rows or ({},) * CELLS):
        for name, share in named.items():
            shares[row, :, NAMES.index(name)] = share
    for name, share in (middle or {}).items():
        shares[1, 1, NAMES.index(name)] = share
    shares[..., NAMES.index("grey")] += 1 - shares.sum(axis=2)
    return ColourLayout(shares)


def said(tags: Mapping[str, float], colours: ColourLayout | None = None, wording: Wording | None = None) -> str:
    probabilities = np.array([tags.get(each.name, 0.0) for each in CLASSES], np.float32)
    return sentence(gather(probabilities, CLASSES), colours or layout(), wording or Wording())


def test_breeds_of_which_none_is_certain_are_a_dog_in_their_coat() -> None:
    assert said({"a beagle": 0.2, "a boxer": 0.3, "a pug": 0.2}) == "A brown dog, a boxer."
    assert said({"a beagle": 0.9}) == "A brown and white dog, a beagle."


def test_an_unlikely_breed_or_coat_is_not_told() -> None:
    assert said({"a beagle": 0.9}, wording=Wording(name=0.95)) == "A brown and white dog."
    assert said({"a beagle": 0.9}, wording=Wording(coat=1)) == "A dog, a beagle."


@pytest.mark.parametrize(
    ("colour", "ground"),
    [("green", "on the grass"), ("white", "in the snow"), ("blue", "in the water"), ("tan", "on the sand")],
)
def test_the_colour_of_the_ground_is_a_place(colour: str, ground: str) -> None:
    found = said({"a boxer": 0.9}, layout({}, {}, {colour: 0.9}), Wording(vivid=1))
    assert found == f"A brown dog, a boxer, {ground}."


def test_a_place_that_classes_agree_on_outweighs_the_ground() -> None:
    bike = said({"a mountain bike": 0.9}, layout({}, {}, {"green": 1}), Wording(vivid=1))
    assert bike == "A bicycle on a dirt trail. A person riding a bike."


def test_what_is_beside_the_subject_is_listed_with_the_sky_and_the_colours() -> None:
    colours = layout({"blue": 0.8}, {}, {"green": 0.9})
    found = said({"a boxer": 0.6, "a tennis ball": 0.2, "jeans": 0.1}, colours)
    assert found == "A brown dog, a boxer, on the grass with a tennis ball and jeans under a blue sky, in green."


def test_people_wear_what_stands_out_in_the_middle() -> None:
    red = layout(middle={"red": 0.4})
    assert said({"a tennis ball": 0.9}, red) == "A tennis ball. A tennis player in red."
    assert said({"a lamp": 0.9}, red) == "A lamp indoors. A person in red."
    assert said({"a lamp": 0.9}) == "A lamp indoors."


def test_a_horse_with_its_rider_is_told_of_by_the_rider() -> None:
    assert said({"a sorrel horse": 0.8}) == "A horse. A person riding a horse."
    assert said({"a sorrel horse": 0.8}, wording=Wording(rider=1)) == "A horse. A person riding a horse."
    assert said({"a sorrel horse": 0.3, "a boxer": 0.4}) == "A brown dog, a boxer, with a horse."


@pytest.mark.parametrize(
    ("phrases", "expected"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c", "d"], "a, b, c and d")]
)
def test_lists_read_as_people_write_them(phrases: list[str], expected: str) -> None:
    assert joined(phrases) == expected


@pytest.mark.parametrize(
    ("noun", "colour", "expected"),
    [("a cat", "orange", "an orange cat"), ("an otter", "brown", "a brown otter"), ("jeans", "blue", "blue jeans")],
)
def test_a_colour_takes_its_own_article(noun: str, colour: str, expected: str) -> None:
    assert coloured(noun, colour) == expected


def test_every_sentence_is_one_or_two_and_ends_well() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(len(NAMES)), (50, CELLS, CELLS)).astype(np.float32)
    for each, probabilities in zip(shares, rng.dirichlet(np.ones(len(CLASSES)) / 4, 50), strict=True):
        found = sentence(gather(probabilities.astype(np.float32), CLASSES), ColourLayout(each), Wording())
        assert found[0].isupper()
        assert found.endswith(".")
        assert 1 <= found.count(".") <= 2
        assert not {"  ", " ,", ",,", ",."} & {found[at : at + 2] for at in range(len(found))}
