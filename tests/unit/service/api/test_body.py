"""Requests from bytes: what is taken, what is refused, and when two of them are equal."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import AahrError, EmptyText, TextTooLong
from service.api.body import digest_of, parse_form, parse_json
from service.api.errors import MalformedBody
from service.api.schemas import SearchRequest
from service.core.errors import InvalidField

SOURCES = st.one_of(
    st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=20).map(lambda text: {"text": text}),
    st.binary(max_size=20).map(lambda image: {"image": base64.b64encode(image).decode()}),
    st.text(st.characters(codec="ascii", categories=["L"]), max_size=20).map(lambda item: {"id": item}),
    st.text(st.characters(codec="ascii", categories=["L"]), max_size=20).map(lambda url: {"image_url": url}),
    st.lists(st.floats(-1e3, 1e3), max_size=4).map(lambda values: {"embedding": [value + 0.0 for value in values]}),
)
PARTS = st.builds(lambda source, weight: {**source, "weight": weight}, SOURCES, st.floats(0.5, 100))
QUERIES = SOURCES | st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: {"mix": parts})
OPTIONS = st.fixed_dictionaries(
    {
        "target": st.sampled_from([None, "image", "text"]),
        "limit": st.integers(1, 1000),
        "offset": st.integers(0, 10_000),
        "score_threshold": st.none() | st.floats(-1, 1).map(lambda value: value + 0.0),
        "with_payload": st.booleans(),
        "normalise": st.booleans(),
        "unique": st.none() | st.floats(0.5, 1),
        "filter": st.none() | st.sampled_from([{}, {"must": [{"key": "a", "match": {"value": 1}}]}]),
    }
)
REQUESTS = st.builds(lambda query, options: {**query, **options}, QUERIES, OPTIONS)


def parsed(fields: object) -> SearchRequest:
    return parse_json(json.dumps(fields).encode()).request


@given(REQUESTS, REQUESTS)
def test_digests_are_equal_exactly_where_every_field_is(left: dict[str, Any], right: dict[str, Any]) -> None:
    equal = parse_json(json.dumps(left).encode()).digest == parse_json(json.dumps(right).encode()).digest
    assert equal == (parsed(left) == parsed(right))


@given(REQUESTS, st.data())
def test_a_change_of_any_option_changes_the_digest(fields: dict[str, Any], data: st.DataObject) -> None:
    other = data.draw(OPTIONS)
    for name, value in other.items():
        if value != fields[name]:
            assert digest_of(parsed({**fields, name: value})) != digest_of(parsed(fields))


def test_every_field_of_the_request_is_drawn_above() -> None:
    drawn = {"text", "image", "image_url", "id", "embedding", "mix", "target", "limit", "offset", "score_threshold"}
    drawn |= {"with_payload", "filter", "unique", "normalise"}
    assert drawn == set(SearchRequest.model_fields)


def test_a_form_equals_the_same_json() -> None:
    image = b"bytes of a file"
    sent = {"image": base64.b64encode(image).decode(), "limit": 3, "score_threshold": 0.5, "with_payload": False}
    form: list[tuple[str, str | bytes]] = [
        ("image", image),
        ("limit", "3"),
        ("score_threshold", "0.5"),
        ("with_payload", "false"),
    ]
    assert parse_form(form).digest == parse_json(json.dumps(sent).encode()).digest


def test_spaces_order_and_defaults_make_no_other_request() -> None:
    assert parse_json(b'{"text": " red\\u0000 ", "limit": 10}') == parse_json(b'{ "limit":10,"text":"red","offset":0}')


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "DATA:;base64,"])
def test_base64_of_every_kind(prefix: str) -> None:
    encoded = base64.encodebytes(bytes(range(256))).decode()
    assert parsed({"image": prefix + encoded}).image == bytes(range(256))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", MalformedBody),
        (b"{", MalformedBody),
        (b"\xff\xfe\xfd", MalformedBody),
        (b"[" * 200_000, MalformedBody),
        (b'{"a":' * 200_000, MalformedBody),
        (b'{"text": "red", "limit": 1' + b"0" * 5000 + b"}", MalformedBody),
        (b"[]", InvalidField),
        (b"null", InvalidField),
        (b"{}", InvalidField),
        (b'{"text": ""}', EmptyText),
        (b'{"text": "\\u0000 "}', EmptyText),
        (b'{"text": "' + b"a" * 10_001 + b'"}', TextTooLong),
        (b'{"text": null}', InvalidField),
    ],
)
def test_bodies_that_are_refused(body: bytes, error: type[AahrError]) -> None:
    with pytest.raises(error):
        parse_json(body)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ('{"text": 5}', "text"),
        ('{"text": "red", "id": "a"}', None),
        ('{"text": "red", "colour": "blue"}', "colour"),
        ('{"text": "red", "text": "blue"}', "text"),
        ('{"text": "red", "limit": 0}', "limit"),
        ('{"text": "red", "limit": 1001}', "limit"),
        ('{"text": "red", "limit": "5"}', "limit"),
        ('{"text": "red", "limit": true}', "limit"),
        ('{"text": "red", "limit": 1.5}', "limit"),
        ('{"text": "red", "offset": -1}', "offset"),
        ('{"text": "red", "offset": 10001}', "offset"),
        ('{"text": "red", "offset": 99999999999999999999}', "offset"),
        ('{"text": "red", "target": "video"}', "target"),
        ('{"text": "red", "target": ["image"]}', "target"),
        ('{"text": "red", "score_threshold": NaN}', "score_threshold"),
        ('{"text": "red", "with_payload": "yes"}', "with_payload"),
        ('{"embedding": [1, NaN]}', "embedding"),
        ('{"embedding": [-Infinity]}', "embedding"),
        ('{"embedding": [1e999]}', "embedding"),
        ('{"embedding": [[1]]}', "embedding"),
        ('{"embedding": ["1"]}', "embedding"),
        ('{"embedding": [true]}', "embedding"),
        ('{"embedding": "1"}', "embedding"),
        ('{"image": "abc"}', "image"),
        ('{"image": "####"}', "image"),
        ('{"image": "\u00e9\u00e9\u00e9\u00e9"}', "image"),
        ('{"image": "data:image/png,abcd"}', "image"),
        ('{"image": 7}', "image"),
        ('{"id": 7}', "id"),
        (json.dumps({"id": "a" * 201}), "id"),
    ],
)
def test_bad_values_name_their_field(fields: str, field: str | None) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_json(fields.encode())
    assert caught.value.field == field


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("image", b"a"), ("image", b"b")],
        [("text", "red"), ("limit", "")],
        [("text", "red"), ("limit", "five")],
        [("embedding", "1")],
        [("", "x"), ("text", "red")],
    ],
)
def test_bad_forms(fields: list[tuple[str, str | bytes]]) -> None:
    with pytest.raises(InvalidField):
        parse_form(fields)
