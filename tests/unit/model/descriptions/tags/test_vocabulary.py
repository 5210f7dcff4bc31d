"""The table of ImageNet's classes: whole, in order, and in words that sentences can be made of."""

import tomllib
from pathlib import Path, PurePath

from model.descriptions.tags.vocabulary import imagenet_classes

# Classes that everybody who works with ImageNet knows by their number.
KNOWN = {0: "a tench", 1: "a goldfish", 151: "a Chihuahua", 207: "a golden retriever", 281: "a tabby cat",
         340: "a zebra", 404: "an airliner", 671: "a mountain bike", 817: "a sports car", 954: "a banana",
         970: "a mountain", 981: "a baseball player", 999: "toilet paper"}  # fmt: skip


def test_there_are_a_thousand_in_the_known_order() -> None:
    classes = imagenet_classes()
    assert len(classes) == 1000
    assert {row: classes[row].name for row in KNOWN} == KNOWN


def test_breeds_are_dogs_and_only_animals_have_them() -> None:
    classes = imagenet_classes()
    assert {each.kind for each in classes[151:269]} == {"a dog"}
    assert all(each.group == "animal" for each in classes[:398])
    assert not any(each.group == "animal" for each in classes[398:])


def test_an_article_fits_its_noun() -> None:
    for each in imagenet_classes():
        for noun in (each.name, each.kind):
            article, _, bare = noun.partition(" ")
            if article in ("a", "an"):
                vowel = bare.lower().startswith(tuple("aeiou")) and not bare.startswith(("uni", "Euro", "euro"))
                assert (article == "an") == (vowel or bare == "hourglass"), noun


def test_the_table_is_installed_with_the_package() -> None:
    settings = tomllib.loads((Path(__file__).parents[5] / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["model"]
    assert any(PurePath("descriptions/tags/classes.tsv").match(pattern) for pattern in patterns)
