"""Payloads as sources give them, refused with their place where an answer could not carry them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from index.payload import InvalidPayload, check_payload
from index.sources.records import NO_PAYLOAD
from model.errors import DataError


def checked_payload(payload: Mapping[str, Any], path: Path, place: str) -> Mapping[str, Any]:
    """The payload itself, NO_PAYLOAD for an empty one; raises DataError for one too deep or too large."""
    if not payload:
        return NO_PAYLOAD
    try:
        check_payload(payload)
    except InvalidPayload as error:
        raise DataError(f"{path}, {place}: {error}") from error
    return payload
