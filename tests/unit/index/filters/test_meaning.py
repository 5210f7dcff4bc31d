"""What filters mean, case by case."""

from typing import Any

import pytest

from index.filters import fold, matches, parse_filter
from tests.collections_data import image_item

ITEM = image_item(
    "more/Dog.JPG",
    "Ein Hund auf der STRASSE",
    {
        "id": "of the payload",
        "year": 2010,
        "rating": 4.5,
        "big": 2**53 + 1,
        "flag": True,
        "nothing": None,
        "tags": ["Dog", ["cat", 7], None],
        "empty": [],
        "exif": {"lens": "50mm", "deep": [{"x": 1}, {"x": 2}, {"y": {}}]},
        "a.b": "dotted",
        "payload": {"year": 1999},
        "word": "straße ΑΣ İ",
    },
)


def holds(key: str, **test: Any) -> bool:
    return matches(parse_filter({"must": [{"key": key, **test}]}), ITEM)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("year", 2010, True),
        ("year", 2010.0, True),
        ("year", "2010", False),
        ("year", 2011, False),
        ("payload.year", 2010, True),
        ("payload.payload.year", 1999, True),
        ("payload.payload.year", 2010, False),
        ("rating", 4.5, True),
        ("big", 2**53 + 1, True),
        ("big", 2**53, False),
        ("big", 2.0**53, False),
        ("flag", True, True),
        ("flag", 1, False),
        ("flag", "true", False),
        ("tags", "Dog", True),
        ("tags", "dog", False),
        ("tags", "cat", True),
        ("tags", 7, True),
        ("exif.lens", "50mm", True),
        ("exif.deep.x", 2, True),
        ("exif.deep.x", 3, False),
        ("exif", "50mm", False),
        ("a.b", "dotted", True),
        ("id", ITEM.id, True),
        ("id", "of the payload", False),
        ("payload.id", "of the payload", True),
        ("uri", "more/Dog.JPG", True),
        ("caption", "Ein Hund auf der STRASSE", True),
    ],
)
def test_equality(key: str, value: Any, expected: bool) -> None:
    assert holds(key, match={"value": value}) is expected
    assert holds(key, match={"any": ["no", value]}) is expected


def test_any_of_nothing_holds_nowhere() -> None:
    assert not holds("year", match={"any": []})


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("uri", "dog.jpg", True),
        ("caption", "HUND", True),
        ("caption", "straße", False),
        ("word", "STRAßE", True),
        ("word", "STRASSE", False),
        ("word", "ασ", True),
        ("word", "ας", False),
        ("word", " i", True),
        ("tags", "AT", True),
        ("year", "2010", False),
        ("exif.lens", "0M", True),
        ("caption", ".*", False),
    ],
)
def test_text_is_contained_whatever_the_case(key: str, text: str, expected: bool) -> None:
    assert holds(key, match={"text": text}) is expected


@pytest.mark.parametrize(
    ("key", "bounds", "expected"),
    [
        ("year", {"gte": 2010}, True),
        ("year", {"gt": 2010}, False),
        ("year", {"gt": 2009.5, "lt": 2010.5}, True),
        ("year", {"gt": 2011, "lt": 2012}, False),
        ("rating", {"gt": 4, "lte": 4.5}, True),
        ("big", {"gt": 2**53}, True),
        ("big", {"lte": 2.0**53}, False),
        ("flag", {"gte": 0}, False),
        ("tags", {"gte": 7}, True),
        ("exif.lens", {"gte": 0}, False),
        ("exif.deep.x", {"gt": 1, "lt": 3}, True),
    ],
)
def test_range(key: str, bounds: dict[str, float], expected: bool) -> None:
    assert holds(key, range=bounds) is expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        *((key, True) for key in ("year", "exif.deep.x", "tags", "id", "caption")),
        *((key, False) for key in ("nothing", "empty", "exif", "exif.deep", "exif.deep.y", "never")),
    ],
)
def test_exists(key: str, expected: bool) -> None:
    assert holds(key, exists=True) is expected
    assert holds(key, exists=False) is not expected


def test_an_item_without_a_caption() -> None:
    item = image_item("a.jpg")
    assert matches(parse_filter({"must": [{"key": "caption", "exists": False}]}), item)
    assert not matches(parse_filter({"must": [{"key": "caption", "match": {"text": "a"}}]}), item)


YES, NO = {"key": "year", "exists": True}, {"key": "never", "exists": True}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, True),
        ({"must": [YES, NO]}, False),
        ({"should": [YES, NO]}, True),
        ({"should": [NO, NO]}, False),
        ({"must": [YES], "should": [NO]}, False),
        ({"must_not": [YES, NO]}, False),
        ({"must_not": [NO]}, True),
        ({"must_not": [{"must": [YES, NO]}]}, True),
        ({"must": [{"must_not": [NO]}, {"should": [NO, {"must": [YES]}]}]}, True),
        ({"must_not": [{"must": []}]}, False),
    ],
)
def test_clauses(value: Any, expected: bool) -> None:
    assert matches(parse_filter(value), ITEM) is expected


def test_fold_maps_each_character_by_itself() -> None:
    assert fold("ÄÉ İΣ ẞ K") == "äé iσ ß k"
