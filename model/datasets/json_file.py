"""A JSON file of a data set, read strictly: what is wrong is said with the file, the place and the remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from model.datasets.strict_json import parse_json
from model.errors import DataError

Content = TypeVar("Content")


def read_json(path: Path, validate: Callable[[Any], Content], remedy: str) -> Content:
    """What `validate`, of a pydantic model or adapter, makes of the JSON of a file.

    Raises DataError, naming file, place and `remedy`, for a file that cannot be read, that is not strict JSON, and
    whose content is not what `validate` takes.
    """
    text = _read(path)
    try:
        return validate(parse_json(text))
    except ValidationError as error:
        raise DataError(f"{path}, {_first_problem(error)}; {remedy}") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: {error.msg}; fix the JSON there") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON that can be used: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    return f"{place.lstrip('.') or 'the document'}: {problem['msg'].lower()}"
