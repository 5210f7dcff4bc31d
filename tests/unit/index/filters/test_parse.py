"""Filters from JSON: what is wrong is named with its place and the remedy, however it is nested."""

from typing import Any

import pytest

from index.filters import MAX_CONDITIONS, MAX_DEPTH, Filter, parse_filter
from model.errors import InvalidInput

HUGE = 10**5000


def condition(**test: Any) -> dict[str, Any]:
    return {"must": [{"key": "a", **test}]}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = condition(exists=True)
    for _ in range(depth - 1):
        value = {"should": [value]}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"must": [], "should": [], "must_not": []},
        condition(match={"value": False}),
        condition(match={"any": []}),
        condition(match={"any": [1, "1", True, 1.5]}),
        condition(match={"text": "x"}),
        condition(range={"gt": -1, "lte": 1e300}),
        condition(exists=False),
        {"must": [{"should": [{"key": "payload.a.b", "exists": True}]}, {"must": []}]},
        nested(MAX_DEPTH),
        {"must_not": [{"key": "a", "exists": True}] * MAX_CONDITIONS},
    ],
)
def test_a_good_filter_is_read_and_written_as_it_was(value: dict[str, Any]) -> None:
    parsed = parse_filter(value)
    assert parse_filter(parsed) == parsed
    assert parse_filter(parsed.model_dump()) == parsed
    assert Filter.model_validate_json(parsed.model_dump_json()) == parsed


def test_values_keep_their_type() -> None:
    (parsed,) = parse_filter(condition(match={"any": [1, 1.0, True, "1"]})).must
    assert [type(value) for value in parsed.match.values] == [int, float, bool, str]  # type: ignore[union-attr]


def test_is_empty_is_short_for_exists_false() -> None:
    assert parse_filter({"must": [{"is_empty": {"key": "a"}}]}) == parse_filter(condition(exists=False))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "filter is None: it must be an object of must, should and must_not"),
        ([], "filter is a list: it must be an object of must, should and must_not"),
        ({"musst": []}, "filter.musst is a list: this key is not known here"),
        ({"must": {"key": "a", "exists": True}}, "filter.must is an object: it must be a list"),
        ({"must": ["a"]}, "filter.must[0] is 'a': it must be a condition or a filter, which are objects"),
        ({"must": [{}]}, "filter.must[0].key is missing"),
        ({"must": [{"key": ""}]}, "filter.must[0].key is empty; name id, uri, caption or a path of the payload"),
        ({"must": [{"key": "payload.", "exists": True}]}, "filter.must[0].key is empty; name id, uri, caption or a"),
        ({"must": [{"key": 1, "exists": True}]}, "filter.must[0].key is 1: it must be a text"),
        (condition(), "filter.must[0] has no test; give exactly one of match, range, exists"),
        (condition(exists=True, range={"gt": 1}), "filter.must[0] has range and exists; give exactly one of"),
        (condition(exists=1), "filter.must[0].exists is 1: it must be true or false"),
        (condition(match=1), "filter.must[0].match is 1: it must be an object"),
        (condition(match={}), "filter.must[0].match has no test; give exactly one of value, any, text"),
        (condition(match={"value": 1, "any": []}), "filter.must[0].match has value and any; give exactly one of"),
        (condition(match={"value": None}), "filter.must[0].match has value null; to find items without a value"),
        (condition(match={"value": [1]}), "filter.must[0].match.value is a list: it must be a text, a number, true"),
        (condition(match={"any": "a"}), "filter.must[0].match.any is 'a': it must be a list"),
        (condition(match={"any": [1, None]}), "filter.must[0].match.any[1] is None: it must be a text, a number"),
        (condition(match={"any": [1] * 10_001}), "filter.must[0].match.any is a list: at most 10000 values"),
        (condition(match={"text": ""}), "filter.must[0].match.text is '': give at least one character"),
        (condition(match={"text": 1}), "filter.must[0].match.text is 1: it must be a text"),
        (condition(match={"value": float("nan")}), "filter.must[0].match.value is nan; give a finite number"),
        (condition(match={"value": 2**63}), "filter.must[0].match.value is an integer beyond 64 bits"),
        (condition(match={"value": "\ud800"}), "filter.must[0].match.value has half a surrogate pair"),
        (condition(match={"text": "\udfff"}), "filter.must[0].match.text is '\\udfff': it has half a surrogate pair"),
        ({"must": [{"key": "\ud800", "exists": True}]}, "filter.must[0].key has half a surrogate pair"),
        (condition(range={}), "filter.must[0].range has no bound; give gt, gte, lt or lte"),
        (condition(range={"gt": None}), "filter.must[0].range has no bound"),
        (condition(range={"gt": True}), "filter.must[0].range.gt is True: it must be a number"),
        (condition(range={"gt": "1"}), "filter.must[0].range.gt is '1': it must be a number"),
        (condition(range={"gte": float("inf")}), "filter.must[0].range.gte is inf; give a finite number"),
        (condition(range={"gte": HUGE}), "filter.must[0].range.gte is an integer beyond 64 bits"),
        (condition(range=HUGE), "filter.must[0].range is a huge integer: it must be an object"),
        (condition(filter=1, exists=True), "filter.must[0].filter is 1: this key is not known here"),
        (nested(MAX_DEPTH + 1), "filter is nested more than 8 filters deep: write it flatter"),
        (nested(100_000), "filter is nested more than 8 filters deep"),
        ({"should": [{"key": "a", "exists": True}] * (MAX_CONDITIONS + 1)}, "filter has more than 100 conditions"),
        ({"must": [{"must": [{}] * 60}, {"must": [{}] * 60}]}, "filter has more than 100 conditions"),
        ({"must": [{"should": [{"key": "a", "range": []}]}]}, "filter.must[0].should[0].range is a list: it must be"),
    ],
)
def test_a_bad_filter_is_refused_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_filter(value)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200
