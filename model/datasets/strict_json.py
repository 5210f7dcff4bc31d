"""JSON as the standard has it."""

import json
from typing import Any


def parse_json(text: str) -> Any:
    """Parse JSON and nothing more: no NaN, no lone surrogate, which the answers of the service could not carry.

    Raises ValueError (JSONDecodeError with a line where the syntax is wrong) and RecursionError.
    """
    value = json.loads(text, parse_constant=_refuse_constant)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")
