"""POST /search."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Response

from index.collection import Collection
from service.api.deps import ResourcesDep, SearchRequestDep, StopwatchDep
from service.api.rendering import to_json
from service.api.schemas import SearchAnswer, SearchRequest
from service.core.served import Served
from service.obs.timing import Stopwatch

router = APIRouter(tags=["search"])


def _multipart_schema() -> dict[str, Any]:
    """The JSON request as a form: the image is a file, and a vector cannot be sent."""
    schema = SearchRequest.model_json_schema()
    properties = {name: field for name, field in schema["properties"].items() if name != "embedding"}
    properties["image"] = {"type": "string", "format": "binary", "description": "An image file."}
    return {**schema, "title": "SearchForm", "properties": properties}


_REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": SearchRequest.model_json_schema()},
        "multipart/form-data": {"schema": _multipart_schema()},
    },
}


@router.post("/search", response_model=SearchAnswer, openapi_extra={"requestBody": _REQUEST_BODY})
async def search(parsed: SearchRequestDep, watch: StopwatchDep, resources: ResourcesDep) -> Response:
    """Find images for a sentence, captions for an image, or either for an item or a vector.

    The header `Server-Timing` splits the time into queue, encode, search and cache.
    """
    cache, served = resources.cache, resources.engine.served
    key = served.key_prefix + parsed.digest
    with watch.measure("cache"):
        result = await cache.get(key)
    cached = result is not None
    if result is None:
        result = await resources.pool.run(partial(_search, resources, parsed.request, served.index, watch), watch)
        with watch.measure("cache"):
            await cache.put(key, result)
    return _answer(result, served, cached, watch)


def _search(resources: ResourcesDep, request: SearchRequest, index: Collection, watch: Stopwatch) -> bytes:
    return to_json(resources.engine.search(request, index, watch))


def _answer(result: bytes, served: Served, cached: bool, watch: Stopwatch) -> Response:
    """A SearchAnswer: results, index and model are JSON already, and the fields of this request come last."""
    parts = (result[:-1], served.answered_by[1:-1], b"true" if cached else b"false", watch.total_ms)
    body = b'%b,%b,"cached":%b,"took_ms":%.3f}' % parts
    return Response(body, media_type="application/json", headers={"Server-Timing": watch.header()})
