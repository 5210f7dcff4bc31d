"""A filter from its JSON value; what is wrong with it is said with its place and the remedy."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from index.filters.syntax import CLAUSES, MAX_VALUES, Filter
from model.errors import InvalidInput

MAX_CONDITIONS = 100
MAX_DEPTH = 8

_KINDS = ("condition", "filter")  # What pydantic puts into a place for the branch of a union that it took.
_SCALARS = ("bool", "int", "float", "str")
_REMEDIES = {
    "bool of a scalar": "it must be a text, a number, true or false",
    "bool_type": "it must be true or false",
    "dict_type": "it must be an object",
    "extra_forbidden": "this key is not known here",
    "int of a scalar": "it must be a number",
    "model_type": "it must be an object",
    "string_too_short": "give at least one character",
    "string_unicode": "it has half a surrogate pair; give valid Unicode",
    "string_type": "it must be a text",
    "too_long": f"at most {MAX_VALUES} values are compared",
    "tuple_type": "it must be a list",
    "union_tag_not_found": "it must be a condition or a filter, which are objects",
}


def parse_filter(value: Any) -> Filter:
    """A filter from its JSON value; raises InvalidInput that names the place and the remedy."""
    if not isinstance(value, dict | Filter):
        raise InvalidInput(f"filter is {_shown(value)}: it must be an object of must, should and must_not")
    _check_size(value)
    try:
        return Filter.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(_message(error)) from None


def _check_size(value: Any) -> None:
    """Refuse trees that are too deep or too large, without recursion: a client may nest them as deep as it likes."""
    conditions = 0
    waiting = [(value, 1)]
    while waiting:
        clause, depth = waiting.pop()
        inner = [child for name in CLAUSES for child in _children(clause, name)]
        conditions += not inner
        if depth > MAX_DEPTH + 1:  # A condition stands one below the innermost filter.
            raise InvalidInput(f"filter is nested more than {MAX_DEPTH} filters deep: write it flatter")
        if conditions > MAX_CONDITIONS:
            raise InvalidInput(f"filter has more than {MAX_CONDITIONS} conditions: use match.any for many values")
        waiting.extend((child, depth + 1) for child in inner)


def _children(clause: Any, name: str) -> Sequence[Any]:
    children = clause.get(name) if isinstance(clause, dict) else getattr(clause, name, ())
    return children if isinstance(children, list | tuple) else ()


def _message(error: ValidationError) -> str:
    """The first fault in one line: its place as a client would write it, and what should be there."""
    fault = error.errors(include_url=False)[0]
    place = _place(fault["loc"])
    if fault["type"] == "value_error":
        return f"{place} {fault['ctx']['error']}"
    if fault["type"] == "missing":
        return f"{place} is missing"
    kind = f"{fault['loc'][-1]} of a scalar" if fault["loc"] and fault["loc"][-1] in _SCALARS else fault["type"]
    remedy = _REMEDIES.get(kind, fault["msg"])
    return f"{place} is {_shown(fault['input'])}: {remedy}"


def _place(steps: tuple[int | str, ...]) -> str:
    place = "filter"
    for before, step in zip((None, *steps), steps, strict=False):
        if isinstance(step, int):
            place += f"[{step}]"
        elif not (isinstance(before, int) and step in _KINDS) and step not in _SCALARS:
            place += f".{_shown(step)[1:-1]}"
    return place


def _shown(value: Any) -> str:
    """A plain value as it is, shortened; of anything else its type: a nested value may be as deep as it likes."""
    if isinstance(value, str | bool | float | None) or (isinstance(value, int) and abs(value) < 10**30):
        return ascii(value)[:40]
    return {dict: "an object", list: "a list", int: "a huge integer"}.get(type(value), f"a {type(value).__name__}")
