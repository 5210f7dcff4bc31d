"""JSON files of data sets, parsed strictly."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from model.errors import DataError

Parsed = TypeVar("Parsed", bound=BaseModel)


def parse_data_file(json_file: Path, kind: type[Parsed], *, otherwise: str) -> Parsed:
    """The file as `kind`. Raises DataError "FILE `otherwise`: PLACE: PROBLEM", or with the reason it cannot be read."""
    try:
        return kind.model_validate_json(json_file.read_bytes())
    except OSError as error:
        raise DataError(f"{json_file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        raise DataError(f"{json_file} {otherwise}: {place}: {problem['msg']}") from error
