"""What is asked, and that the hash covers all of it."""

from dataclasses import fields, replace
from typing import Any

from model.descriptions.prompts import PROMPTS, prompt_hash

SETTINGS = {"model": "m", "temperature": 0.0}


def test_the_caption_stands_in_the_request_as_it_is() -> None:
    asked = PROMPTS.describe_with("a dog {sits} on 100% of {caption} \\1")
    assert "a dog {sits} on 100% of {caption} \\1" in asked
    assert PROMPTS.describe.partition("{caption}")[2] in asked


def test_what_the_paper_asks_for_is_asked_for() -> None:
    for part in ("main scene", "key objects", "primary action", "significant visual details"):
        assert part in PROMPTS.describe


def test_the_hash_is_of_every_text_the_mode_and_every_setting() -> None:
    values: dict[str, Any] = {field.name: 7 if field.name == "version" else "other" for field in fields(PROMPTS)}
    changed = [replace(PROMPTS, **{name: value}) for name, value in values.items()]
    hashes = [
        prompt_hash(PROMPTS, "reference", SETTINGS),
        prompt_hash(PROMPTS, "generated", SETTINGS),
        prompt_hash(PROMPTS, "generated", {**SETTINGS, "model": "n"}),
        prompt_hash(PROMPTS, "generated", {**SETTINGS, "temperature": 0.1}),
        *(prompt_hash(prompts, "generated", SETTINGS) for prompts in changed),
    ]
    assert len(set(hashes)) == len(hashes) == 8
    assert all(len(found) == 16 and int(found, 16) >= 0 for found in hashes)


def test_the_hash_is_the_same_in_every_process() -> None:
    """One that changed with the process, or with a release that words nothing differently, would ask for all anew."""
    prompts = replace(PROMPTS, version=1, system="s", caption="c", describe="d {caption}")
    found = prompt_hash(prompts, "reference", {"model": "m", "temperature": 0.5})
    assert found == prompt_hash(prompts, "reference", {"temperature": 0.5, "model": "m"}) == "2caede2f36ed2520"
