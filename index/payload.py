"""Which payloads an item may carry: what can be stored, filtered by, and sent back as JSON."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from model.errors import DataError

MAX_PAYLOAD_DEPTH = 32
MAX_PAYLOAD_BYTES = 64 * 1024
INT64 = range(-(2**63), 2**63)


class InvalidPayload(DataError, ValueError):
    """A payload that is not a JSON object within the limits; the message names the place in it."""

    code = "invalid_payload"


def check_payload(value: Any) -> None:
    """Raise InvalidPayload unless the value is a JSON object that can be stored and sent back unchanged.

    Objects and lists may be nested MAX_PAYLOAD_DEPTH deep and take up MAX_PAYLOAD_BYTES as JSON; numbers are finite,
    integers of 64 bits, and texts encodable as UTF-8.
    """
    if not isinstance(value, dict):
        raise InvalidPayload(f"the payload is a {type(value).__name__}: it must be a JSON object")
    for place, inner, depth in _walk(value):
        _check_value(place, inner, depth)
    size = len(dump_payload(value).encode())
    if size > MAX_PAYLOAD_BYTES:
        raise InvalidPayload(f"the payload has {size} bytes as JSON: at most {MAX_PAYLOAD_BYTES} are stored")


def dump_payload(value: dict[str, Any]) -> str:
    """The payload as it is stored: JSON without spaces, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _walk(value: dict[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """Every value with its place and depth, without recursion: the nesting is not yet known to be bounded."""
    waiting: list[tuple[str, Any, int]] = [("payload", value, 1)]
    while waiting:
        place, inner, depth = waiting.pop()
        yield place, inner, depth
        if isinstance(inner, dict):
            waiting.extend((f"{place}.{key}", child, depth + 1) for key, child in inner.items())
        elif isinstance(inner, list):
            waiting.extend((f"{place}[{at}]", child, depth + 1) for at, child in enumerate(inner))


def _check_value(place: str, value: Any, depth: int) -> None:
    match value:
        case dict() | list() if depth > MAX_PAYLOAD_DEPTH:
            raise InvalidPayload(
                f"the payload is nested more than {MAX_PAYLOAD_DEPTH} deep at {_short(place)}: flatten it"
            )
        case dict():
            for key in value:
                _check_key(place, key)
        case bool() | None | list():
            pass
        case int():
            if value not in INT64:
                raise InvalidPayload(f"{_short(place)} is an integer beyond 64 bits: write it as a text")
        case float():
            if not math.isfinite(value):
                raise InvalidPayload(f"{_short(place)} is {value}: numbers must be finite; write null instead")
        case str():
            _check_text(place, value)
        case _:
            raise InvalidPayload(f"{_short(place)} is a {type(value).__name__}: JSON has no such value")


def _check_key(place: str, key: Any) -> None:
    if not isinstance(key, str):
        raise InvalidPayload(f"{_short(place)} has the key {key!r}: keys must be texts")
    _check_text(f"a key of {place}", key)


def _check_text(place: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidPayload(f"{_short(place)} has half a surrogate pair: it cannot be written as UTF-8") from error


def _short(place: str) -> str:
    printable = place.encode("unicode_escape").decode("ascii")
    return printable if len(printable) <= 80 else f"{printable[:60]}…{printable[-15:]}"


def plain_values(payload: Mapping[str, Any]) -> Iterator[tuple[str, bool | int | float | str]]:
    """Every text, number, true and false of a payload with its path: the keys on the way to it, joined by dots.

    Lists are passed through: their elements have the path of the list.
    """
    for key, value in payload.items():
        yield from _plain_values(key, value)


def _plain_values(path: str, value: Any) -> Iterator[tuple[str, bool | int | float | str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _plain_values(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _plain_values(path, inner)
    elif value is not None:
        yield path, value
