"""From items to the fields that are shown, and from answers to JSON: neither fails, whatever the gallery holds."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from index.items import Item

# pydantic takes an answer with more than 255 levels for one that contains itself.
MAX_PAYLOAD_LEVELS = 200


def shown_fields(item: Item, with_payload: bool) -> dict[str, object]:
    """The fields of an item that are shown; a payload that is nested too deeply is null."""
    shown = with_payload and not is_too_deep(item.payload)
    return {
        "id": item.id,
        "modality": item.modality,
        "uri": item.uri,
        "caption": item.caption,
        "payload": dict(item.payload) if shown else None,
    }


def is_too_deep(payload: Mapping[str, Any]) -> bool:
    """Whether objects and lists are nested more than MAX_PAYLOAD_LEVELS levels deep."""
    level: list[Any] = [payload]
    for _ in range(MAX_PAYLOAD_LEVELS):
        parts = [part for whole in level for part in (whole.values() if isinstance(whole, Mapping) else whole)]
        level = [part for part in parts if isinstance(part, Mapping | list)]
        if not level:
            return False
    return True


def to_json(answer: BaseModel) -> bytes:
    """The JSON of an answer in UTF-8; half a surrogate pair, which UTF-8 cannot encode, becomes a question mark."""
    try:
        return answer.model_dump_json().encode()
    except PydanticSerializationError:
        return json.dumps(answer.model_dump(mode="json"), ensure_ascii=False).encode("utf-8", "replace")
