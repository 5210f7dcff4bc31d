"""POST /search, and many searches in one request."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from model.errors import AahrError
from service.api.answers import Answers
from service.api.body import JSON, ParsedRequest, media_type, parse_fields, parse_model, read_json, read_search_request
from service.api.connection import while_connected
from service.api.deps import Resources, ResourcesDep, StopwatchDep
from service.api.errors import aahr_error_response
from service.api.schemas import BatchAnswer, BatchRequest, SearchAnswer, SearchRequest
from service.core.generation import Generation
from service.obs.timing import Stopwatch

router = APIRouter(tags=["search"])

PATH = "/search"


def _multipart_schema() -> dict[str, Any]:
    """The JSON request as a form: the image is a file, and neither a vector nor a mix can be sent."""
    schema = SearchRequest.model_json_schema()
    properties = {name: field for name, field in schema["properties"].items() if name not in ("embedding", "mix")}
    properties["image"] = {"type": "string", "format": "binary", "description": "An image file."}
    return {**schema, "title": "SearchForm", "properties": properties}


_REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": SearchRequest.model_json_schema()},
        "multipart/form-data": {"schema": _multipart_schema()},
    },
}


_BATCH_BODY = {"required": True, "content": {JSON: {"schema": BatchRequest.model_json_schema()}}}


@router.post(PATH, response_model=SearchAnswer, openapi_extra={"requestBody": _REQUEST_BODY})
async def search(request: Request) -> Response:
    """Find images for a sentence, captions for an image, or either for an item, a vector or a mix of these.

    The header `Server-Timing` splits the time into queue, decode, encode, search, render and cache.
    """
    watch: Stopwatch = request.state.watch
    resources: Resources = request.state.resources
    with resources.generations.current as generation:
        body = await _answer(request, resources, generation, watch)
    return Response(body, media_type="application/json", headers={"Server-Timing": watch.header()})


async def _answer(request: Request, resources: Resources, generation: Generation, watch: Stopwatch) -> bytes:
    """The least that can be done for a request that came before: its bytes are looked up before they are parsed."""
    answers = resources.answers
    sent = await request.body() if media_type(request) == JSON else None
    if sent is not None and (known := await answers.known(sent, generation, watch)) is not None:
        return known
    parsed = await read_search_request(request, resources.workers, watch)
    return await while_connected(request.receive, answers.answer(parsed, generation, watch, sent))


@router.post("/search/batch", response_model=BatchAnswer, openapi_extra={"requestBody": _BATCH_BODY})
async def search_batch(request: Request, resources: ResourcesDep, watch: StopwatchDep) -> Response:
    """Many searches in one request, answered from one version of the index, each with a status of its own."""
    searches = await read_json(request, resources.workers, _searches_of, watch)
    with resources.generations.current as generation:
        items = [_item(search, resources.answers, generation) for search in searches]
        done = await while_connected(request.receive, _gathered(items))
    body = b'{"answers":[%b]}' % b",".join(done)
    return Response(body, media_type="application/json", headers={"Server-Timing": watch.header()})


async def _gathered(items: Sequence[Coroutine[Any, Any, bytes]]) -> list[bytes]:
    return await asyncio.gather(*items)


def _searches_of(body: bytes) -> list[ParsedRequest | AahrError]:
    """Each search of a batch, or why it cannot be used."""
    searches: list[ParsedRequest | AahrError] = []
    for fields in parse_model(BatchRequest, body, example='{"searches": [{"text": "two dogs on a beach"}]}').searches:
        try:
            searches.append(parse_fields(fields))
        except AahrError as error:
            searches.append(error)
    return searches


async def _item(search: ParsedRequest | AahrError, answers: Answers, generation: Generation) -> bytes:
    """The JSON of a BatchItem: one bad search harms no other."""
    try:
        if isinstance(search, AahrError):
            raise search
        answer = await answers.answer(search, generation, Stopwatch())
    except AahrError as error:
        refusal = aahr_error_response(error)
        return b'{"status":%d,"answer":null,"error":%b}' % (refusal.status_code, bytes(refusal.body)[9:-1])
    return b'{"status":200,"answer":%b,"error":null}' % answer
