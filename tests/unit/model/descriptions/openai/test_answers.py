"""What is a description, and what only looks like one."""

import json
from typing import Any

import pytest

from model.descriptions.openai.answers import (
    MAX_CHARACTERS,
    Unusable,
    error_of,
    parse_completion,
    text_of,
    usage_of,
)
from tests.chat_server import completion


def text(content: Any, **more: Any) -> str:
    return text_of(parse_completion(completion(content, **more).body))


def test_the_text_is_taken_without_what_files_and_terminals_cannot_take() -> None:
    assert text("  A dog.\nZwei Hündchen \x1b[31mrot\x00.\n") == "A dog.\nZwei Hündchen [31mrot."


@pytest.mark.parametrize(
    "content",
    [
        "I'm sorry, I can't help with that.",
        "I’m sorry, but I cannot describe this image.",
        "I am unable to view images.",
        "I'm very sorry, no.",
        "Sorry, I can't do that.",
        "I can't assist with that request.",
        "I cannot identify people.",
        "Unfortunately, I cannot see it.",
        "As an AI, I do not see images.",
        "I apologize, but no.",
    ],
)
def test_refusals_are_not_descriptions(content: str) -> None:
    with pytest.raises(Unusable, match="the model refused: "):
        text(content)


@pytest.mark.parametrize(
    "content",
    [
        "I can see a dog.",
        "Sorry signs hang on a closed shop.",
        "A man says: I'm sorry, I can't.",
        "An unfortunate dog. I cannot be seen.",
        "As an airplane lands, people wave.",
        "In a field, two dogs play.",
    ],
)
def test_descriptions_are_not_refusals(content: str) -> None:
    assert text(content) == content


@pytest.mark.parametrize(
    ("content", "more", "reason"),
    [
        ("", {}, "is empty"),
        (" \n\x00", {}, "is empty"),
        (None, {}, "is empty"),
        (["A dog."], {}, "is not text"),
        (7, {}, "is not text"),
        ("A dog and", {"finish": "length"}, "was cut off at the limit of tokens; raise --max-tokens"),
        ("A dog", {"finish": "content_filter"}, "content filter"),
        ("x" * (MAX_CHARACTERS + 1), {}, "has 4001 characters, more than 4000"),
        ("x" * 20_000, {}, "has 20000 characters"),
        (None, {"refusal": "I won't."}, "the model refused: I won't."),
    ],
)
def test_answers_that_are_not_descriptions_say_why(content: Any, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        text(content, **more)


def test_the_longest_description_is_one() -> None:
    assert len(text("x" * MAX_CHARACTERS)) == MAX_CHARACTERS


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[]", b"null", b'{"choices": []}', b'{"choices": [{}]}', b'{"error": "x"}', b"[" * 10_000],
)
def test_bodies_that_are_not_completions_are_named(body: bytes) -> None:
    with pytest.raises(Unusable, match="the answer is not a chat completion: "):
        parse_completion(body)


def test_a_lone_surrogate_never_reaches_the_file() -> None:
    body = completion("A dog \ud800.").body
    try:
        found = text_of(parse_completion(body))
    except Unusable as error:
        found = str(error)
    assert found.encode("utf-8")  # which a lone surrogate cannot be


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ((5, 7), (5, 7)),
        (None, None),
        ({}, None),
        ({"prompt_tokens": "5", "completion_tokens": 7}, None),
        ({"prompt_tokens": -5, "completion_tokens": 7}, None),
        ([], None),
    ],
)
def test_tokens_are_counted_where_the_server_says_them(usage: Any, counts: tuple[int, int] | None) -> None:
    assert usage_of(parse_completion(completion("A dog.", usage=usage).body)) == counts


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "no\n such\x1b model", "code": "model_not_found"}}, "model_not_found", "no such model"),
        ({"error": {"message": "no", "code": 404}}, "404", "no"),
        ({"error": "model 'x' not found"}, "", "model 'x' not found"),
        ({"detail": "Not Found"}, "", "Not Found"),
        ({"message": "no", "code": None}, "", "no"),
        (["no"], "", '["no"]'),
    ],
)
def test_errors_of_every_server_are_read(body: Any, code: str, message: str) -> None:
    assert error_of(json.dumps(body).encode()) == (code, message)


def test_errors_are_short() -> None:
    assert error_of(b"<html>" + b"x" * 10_000)[1].startswith("<html>xxx")
    assert len(error_of(b"<html>" + b"x" * 10_000)[1]) == 200
    assert error_of(b"") == ("", "")
