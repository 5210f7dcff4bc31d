"""Payloads: within the limits they are kept as they are, beyond them the place and the limit are named."""

import json
from typing import Any

import pytest

from index.payload import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, InvalidPayload, check_payload, dump_payload
from model.errors import DataError


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def nested_lists(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return {"a": value}


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"a": None, "b": [True, 1, 1.5, "ä", {"c": []}], "": {"": 0}},
        {"least": -(2**63), "most": 2**63 - 1},
        nested(MAX_PAYLOAD_DEPTH),
        {"a": "x" * (MAX_PAYLOAD_BYTES - len('{"a":""}'))},
    ],
)
def test_a_payload_within_the_limits_is_accepted_and_stored_unchanged(payload: dict[str, Any]) -> None:
    check_payload(payload)
    assert json.loads(dump_payload(payload)) == payload


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ([], "is a list: it must be a JSON object"),
        (None, "is a NoneType"),
        (nested(MAX_PAYLOAD_DEPTH + 1), "more than 32 deep"),
        (nested(300), "more than 32 deep"),
        (nested(100_000), "more than 32 deep"),
        (nested_lists(300), "more than 32 deep"),
        ({"a": "x" * (MAX_PAYLOAD_BYTES - len('{"a":""}') + 1)}, "at most 65536"),
        ({"a": "ä" * (MAX_PAYLOAD_BYTES // 2)}, "at most 65536"),
        ({"a": [0, {"b": float("nan")}]}, r"payload\.a\[1\]\.b is nan"),
        ({"a": float("-inf")}, r"payload\.a is -inf"),
        ({"a": 2**63}, r"payload\.a is an integer beyond 64 bits: write it as a text"),
        ({"a": "\ud800"}, "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        ({"a": {1: 2}}, r"payload\.a has the key 1"),
        ({"a": {1, 2}}, r"payload\.a is a set"),
    ],
)
def test_a_payload_beyond_the_limits_is_refused_with_its_place(payload: Any, said: str) -> None:
    with pytest.raises(InvalidPayload, match=said) as raised:
        check_payload(payload)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200


def test_the_error_is_one_of_data_and_a_value_error() -> None:
    assert issubclass(InvalidPayload, DataError)
    assert issubclass(InvalidPayload, ValueError)
