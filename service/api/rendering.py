"""From items and results to JSON: it never fails, whatever the gallery holds."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pydantic_core
from pydantic import BaseModel

from index.collection import Collection
from index.items import Item
from service.api.schemas import IndexRef, QueryEcho, SearchRequest
from service.core.budget import Workers
from service.core.query import Results

# pydantic takes an answer with more than 255 levels for one that contains itself.
MAX_PAYLOAD_LEVELS = 200
# Rendering so many hits takes longer than handing them to a thread.
_MANY_HITS = 100


async def render_results(request: SearchRequest, results: Results, workers: Workers) -> bytes:
    """The JSON of a SearchResult; the event loop is not held up by a long one."""
    render = partial(rendered, request, results)
    return render() if len(results.hits) < _MANY_HITS else await workers.run(render)


def rendered(request: SearchRequest, results: Results) -> bytes:
    """The JSON of a SearchResult, without the models of its parts: an answer has many hits, and each is sound."""
    unknown: Sequence[None] = [None] * len(results.hits)
    judged = zip(results.hits, results.probabilities or unknown, results.equally_good or unknown, strict=True)
    hits = [
        {
            **shown_fields(hit.item, request.with_payload),
            "score": hit.score,
            "rank_score": hit.rank_score,
            "probability": probability,
            "equally_good": equally_good,
        }
        for hit, probability, equally_good in judged
    ]
    hidden = [hit["id"] for hit in hits if request.with_payload and hit["payload"] is None]
    echo = QueryEcho(
        type=request.type,
        text=request.text,
        id=request.id,
        target=results.target,
        truncated=results.truncated,
        description=results.description,
        notes=[*results.notes, *(f"the payload of {hit_id} is nested too deeply to be shown" for hit_id in hidden)],
    )
    return _json({"results": hits, "query": echo.model_dump()})


def index_ref(collection: Collection) -> IndexRef:
    """Which version of which index."""
    return IndexRef(name=collection.name, version=collection.version)


def shown_fields(item: Item, with_payload: bool) -> dict[str, Any]:
    """The fields of an item that are shown; a payload that is nested too deeply is null."""
    shown = with_payload and not is_too_deep(item.payload)
    return {
        "id": item.id,
        "modality": item.modality,
        "uri": item.uri,
        "caption": item.caption,
        "payload": dict(item.payload) if shown else None,
        "description": item.description,
    }


def is_too_deep(payload: Mapping[str, Any]) -> bool:
    """Whether objects and lists are nested more than MAX_PAYLOAD_LEVELS levels deep."""
    level = [part for part in payload.values() if isinstance(part, Mapping | list)]
    if not level:
        return False
    for _ in range(MAX_PAYLOAD_LEVELS - 1):
        parts = [part for whole in level for part in (whole.values() if isinstance(whole, Mapping) else whole)]
        level = [part for part in parts if isinstance(part, Mapping | list)]
        if not level:
            return False
    return True


def to_json(answer: BaseModel) -> bytes:
    """The JSON of an answer in UTF-8; half a surrogate pair, which UTF-8 cannot encode, becomes a question mark."""
    return _json(answer.model_dump(mode="json"))


def _json(value: Any) -> bytes:
    try:
        return pydantic_core.to_json(value, inf_nan_mode="null")
    except pydantic_core.PydanticSerializationError:
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
