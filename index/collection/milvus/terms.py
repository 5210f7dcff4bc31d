"""What is kept of an item so that Milvus can filter by it: tokens of its values, and the span of its numbers.

A token is a digest of a path and a value, so that no text of a user ever stands in an expression.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from index.filters import ITEM_KEYS
from index.items import Item
from index.payload import plain_values

Scalar = bool | int | float | str
TokenKind = Literal["exists", "equals", "number", "several", "inexact"]

_DIGITS = 24
_TOKENS_KEPT = 65_536  # Most rows have the paths of others, and many of their values.


@lru_cache(_TOKENS_KEPT)
def token(kind: TokenKind, path: str, *value: str) -> str:
    """The token of a path, and for `equals` of a value in it: hexadecimal digits."""
    return hashlib.sha256(json.dumps([kind, path, *value]).encode()).hexdigest()[:_DIGITS]


def item_path(key: str) -> str:
    """The path of a key of the item itself, which no path into the payload equals."""
    return f"item {key}"


def payload_path(path: str) -> str:
    """The path of a value in the payload."""
    return f"payload {path}"


def equals_token(path: str, value: Scalar) -> str:
    """The token of a value at a path: equal exactly for equal values, 1 and 1.0 among them, true and 1 not."""
    if isinstance(value, bool | str):
        return token("equals", path, type(value).__name__, str(value))
    whole = int(value) if value == int(value) else value
    return token("equals", path, "number", repr(whole))


def terms_of(item: Item) -> tuple[list[str], dict[str, float]]:
    """The tokens of an item, and for each path with numbers the lowest and the highest of them."""
    tokens: set[str] = set()
    numbers: dict[str, list[int | float]] = {}
    for path, value in _values(item):
        tokens |= {token("exists", path), equals_token(path, value)}
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers.setdefault(path, []).append(value)
    spans: dict[str, float] = {}
    for path, values in numbers.items():
        tokens.add(token("number", path))
        if len(set(values)) > 1:
            tokens.add(token("several", path))
        if any(float(value) != value for value in values):
            tokens.add(token("inexact", path))
        spans[lowest_key(path)] = min(map(_float_below, values))
        spans[highest_key(path)] = max(map(_float_above, values))
    return sorted(tokens), spans


def lowest_key(path: str) -> str:
    """Where the lowest number at a path stands."""
    return f"lo_{token('number', path)}"


def highest_key(path: str) -> str:
    """Where the highest number at a path stands."""
    return f"hi_{token('number', path)}"


def _values(item: Item) -> Iterable[tuple[str, Scalar]]:
    for key in ITEM_KEYS:
        value = getattr(item, key)
        if value is not None:
            yield item_path(key), value
    for path, value in plain_values(item.payload):
        yield payload_path(path), value


def _float_below(value: int | float) -> float:
    """The value, or where no float equals it, one below it."""
    return float(value) if float(value) == value else math.nextafter(float(value), -math.inf)


def _float_above(value: int | float) -> float:
    return float(value) if float(value) == value else math.nextafter(float(value), math.inf)
