"""The text of a caption says what it claims, read back by patterns that know nothing of the templates."""

import re
from random import Random
from typing import Any

import pytest

from training.scenes.claims import Claims, GroupClaim
from training.scenes.facts import Relation
from training.scenes.wording import noun_phrase, sentence

Json = dict[str, Any]

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown")
KINDS = {
    "cottage": "house", "automobile": "car", "blossom": "flower", "toadstool": "mushroom", "bunny": "rabbit",
    "bunnies": "rabbit", "parasol": "umbrella", "mug": "cup", "crate": "box", "boxes": "box", "buses": "bus",
    "butterflies": "butterfly", "airplane": "plane", "sailing boat": "boat",
}  # fmt: skip
PLAIN = (
    "house", "car", "flower", "mushroom", "rabbit", "umbrella", "cup", "box", "bus", "butterfly", "plane", "boat",
    "ball", "tree", "dog", "cat", "chair", "table", "bird", "kite", "balloon", "fish",
)  # fmt: skip
NUMBERS = {"two": 2, "pair": 2, "three": 3, "four": 4}


def kinds_in(text: str) -> list[str]:
    names = sorted({**KINDS, **{name: name for name in PLAIN}}.items(), key=lambda item: -len(item[0]))
    found = []
    for word, kind in names:
        text, times = re.subn(rf"\b{word}(s|es)?\b", "", text)
        found += [kind] * times
    return sorted(found)


def test_texts_name_exactly_the_claimed_kinds(sentences: list[Json]) -> None:
    for item in sentences:
        claimed = sorted(group["kind"] for group in item["claims"]["groups"] if group["kind"])
        assert kinds_in(item["raw"].lower()) == claimed, item["raw"]


def test_texts_name_exactly_the_claimed_colours(sentences: list[Json]) -> None:
    for item in sentences:
        text = item["raw"].lower().replace("violet", "purple").replace("green field", "")
        claimed = sorted(group["colour"] for group in item["claims"]["groups"] if group["colour"])
        assert sorted(re.findall("|".join(COLOURS), text)) == claimed, item["raw"]


def test_texts_name_exactly_the_claimed_numbers(sentences: list[Json]) -> None:
    for item in sentences:
        named = sorted(NUMBERS[word] for word in re.findall(r"\b(two|pair|three|four)\b", item["raw"].lower()))
        groups = item["claims"]["groups"]
        assert named == sorted(g["count"] for g in groups if g["count"] > 1 and not g["at_least"]), item["raw"]


def test_texts_name_exactly_the_claimed_sizes(sentences: list[Json]) -> None:
    for item in sentences:
        text = item["raw"].lower()
        large, small = (len(re.findall(p, text)) for p in (r"\b(large|big|huge)\b", r"\b(small|little|tiny)\b"))
        sizes = [group["size"] for group in item["claims"]["groups"]]
        assert (large, small) == (sizes.count("large"), sizes.count("small")), item["raw"]


def test_texts_name_exactly_the_claimed_setting(sentences: list[Json]) -> None:
    places = {
        "meadow": r"meadow|green field|grassy field", "beach": "beach", "snow": "snow", "street": "street|road",
        "desert": "desert", "sea": r"\bsea\b|waves",
    }  # fmt: skip
    times = {"day": r"\bday|sunny", "night": "night|stars|dark"}
    for item in sentences:
        text = item["raw"].lower()
        for name, patterns in (("place", places), ("time", times)):
            found = [value for value, pattern in patterns.items() if re.search(pattern, text)]
            assert found == ([item["claims"][name]] if item["claims"][name] else []), item["raw"]


def test_equal_texts_claim_equal_things(sentences: list[Json]) -> None:
    seen: dict[str, Json] = {}
    for item in sentences:
        words = " ".join(item["tokens"])
        assert seen.setdefault(words, item["claims"]) == item["claims"], words


def test_plain_english(sentences: list[Json]) -> None:
    for item in sentences:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  |\bwith \w+ \w+ with\b| ,|None|_|\{", item["raw"]), item[
            "raw"
        ]
        assert not re.search(r"there is (two|three|four|some)\b|there are (a|an|one) (?!pair)", item["raw"].lower())


def test_wording_varies(sentences: list[Json]) -> None:
    assert len({item["raw"] for item in sentences}) > 0.9 * len(sentences)


@pytest.mark.parametrize(
    ("group", "phrases"),
    [
        (GroupClaim("umbrella", None, None, 1), {"an umbrella", "a parasol", "one umbrella"}),
        (GroupClaim("ball", "orange", None, 1), {"an orange ball", "one orange ball", "a single orange ball"}),
        (GroupClaim("fish", "red", None, 3), {"three red fish"}),
        (GroupClaim("dog", None, "large", 2, at_least=True), {"some large dogs", "some big dogs", "some huge dogs"}),
        (GroupClaim(None, "blue", None, 1), {"a blue object", "a blue thing"}),
    ],
)
def test_noun_phrases(group: GroupClaim, phrases: set[str]) -> None:
    rng = Random(0)
    assert phrases <= {noun_phrase(group, rng) for _ in range(200)}


def test_every_way_to_say_a_relation_keeps_its_direction() -> None:
    claims = Claims((GroupClaim("car", None, None, 1), GroupClaim("dog", None, None, 1)), (Relation(0, "left of", 1),))
    rng = Random(0)
    texts = {sentence(claims, rng).lower().replace("automobile", "car") for _ in range(300)}
    car_first = re.compile(r"car (is )?(parked )?((to|on) the )?left (side )?of|car on the left and .*dog on the right")
    dog_first = re.compile(r"dog with .*car (to|on) its left")
    assert len(texts) > 30
    assert all(car_first.search(text) or dog_first.search(text) for text in texts)
