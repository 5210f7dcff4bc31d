"""From the bytes of a request to a SearchRequest and its digest, which equal requests share."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType, invalid_field
from service.api.schemas import SearchRequest
from service.core.budget import Workers
from service.core.errors import InvalidField
from service.obs.timing import Stopwatch

# Parsing this much JSON takes less time than handing it to a thread.
_SMALL_BYTES = 16_384
_MAX_FORM_FILES = 4
JSON = "application/json"
_MAX_FORM_FIELDS = 32

Parsed = TypeVar("Parsed")
Fields = TypeVar("Fields", bound=BaseModel)


class ParsedRequest(NamedTuple):
    """Two requests have the same `digest` if and only if all their fields are equal, however they were sent."""

    request: SearchRequest
    digest: str

    @classmethod
    def of(cls, request: SearchRequest) -> "ParsedRequest":
        """A request with its digest."""
        return cls(request, digest_of(request))


class BodyLimit:
    """ASGI middleware that stops any route from reading more than `max_bytes` of a body, announced or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0
        announced = _content_length(scope)

        async def limited() -> Message:
            nonlocal received
            # Before `receive`, which tells a client that waits for "100 Continue" to send it all.
            self._check(announced)
            message = await receive()
            received += len(message.get("body", b""))
            self._check(received)
            return message

        await self._app(scope, limited, send)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise BodyTooLarge(f"the body has more than {self._max_bytes:,} bytes; send less, such as a smaller image")


def media_type(request: Request) -> str:
    """The content type of the body, without parameters and in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_search_request(request: Request, workers: Workers, watch: Stopwatch) -> ParsedRequest:
    """The search request of a JSON or multipart body.

    Raises UnsupportedMediaType, MalformedBody, BodyTooLarge, InvalidField, EmptyText and TextTooLong.
    """
    content_type = media_type(request)
    if content_type == JSON:
        return await read_json(request, workers, parse_json, watch)
    if content_type == "multipart/form-data":
        return await workers.run(partial(parse_form, await read_form(request)), watch)
    sent = f"its content type is {content_type}" if content_type else "it has no content type"
    raise UnsupportedMediaType(f"the body must be application/json or multipart/form-data, but {sent}")


async def read_json(
    request: Request,
    workers: Workers,
    parse: Callable[[bytes], Parsed],
    watch: Stopwatch | None = None,
    *,
    others: str = "",
) -> Parsed:
    """The JSON body, parsed by a worker where it is large, so that nobody else waits for it.

    Raises UnsupportedMediaType for another content type, which the route may name in `others` where it takes some, and
    what `parse` raises.
    """
    if (kind := media_type(request)) != JSON:
        raise UnsupportedMediaType(f"the body must be {JSON}{others}, but its content type is {kind or 'not given'}")
    body = await request.body()
    return parse(body) if len(body) <= _SMALL_BYTES else await workers.run(partial(parse, body), watch)


def parse_model(model: type[Fields], body: bytes, *, example: str) -> Fields:
    """The fields of a JSON object, read strictly; raises MalformedBody and InvalidField, with an example of one."""
    try:
        return model.model_validate(json_object(body, example), strict=True)
    except ValidationError as error:
        raise field_error(error) from error


def field_error(error: ValidationError) -> InvalidField:
    """The first fault that pydantic found, without what was sent."""
    return invalid_field(error.errors(include_url=False, include_context=False, include_input=False))


def parse_json(body: bytes) -> ParsedRequest:
    """JSON is read strictly: a number in quotes is not a number, and a repeated name is refused."""
    return parse_fields(json_object(body, '{"text": "two dogs on a beach"}'))


def json_object(body: bytes, example: str) -> dict[str, Any]:
    """The fields of a body; raises MalformedBody, and InvalidField for a repeated name or what is not an object."""
    try:
        fields = json.loads(body, object_pairs_hook=without_repetition)
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InvalidField(f"the body must be a JSON object, such as {example}", None)
    return fields


def parse_fields(fields: dict[str, Any]) -> ParsedRequest:
    """A search request from the fields of a JSON object."""
    return _parsed(fields, strict=True)


def parse_form(fields: list[tuple[str, str | bytes]]) -> ParsedRequest:
    """The fields of a form are text, from which numbers and booleans are parsed."""
    return _parsed(without_repetition(fields), strict=False)


def _parsed(fields: dict[str, Any], *, strict: bool) -> ParsedRequest:
    try:
        return ParsedRequest.of(SearchRequest.model_validate(fields, strict=strict))
    except ValidationError as error:
        raise field_error(error) from error


def digest_of(request: SearchRequest) -> str:
    """SHA-256 over every field, so that a field added later is covered too."""
    fields = request.model_dump(exclude={"image", "embedding"})
    if request.image is not None:
        fields["image"] = hashlib.sha256(request.image).hexdigest()
    if request.embedding is not None:
        fields["embedding"] = hashlib.sha256(np.array(request.embedding, np.float64).tobytes()).hexdigest()
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=_digest_of_bytes).encode()).hexdigest()


def _digest_of_bytes(value: object) -> str:
    """An image of a mix."""
    assert isinstance(value, bytes)
    return hashlib.sha256(value).hexdigest()


async def read_form(request: Request, max_fields: int = _MAX_FORM_FIELDS) -> list[tuple[str, str | bytes]]:
    """The fields of a multipart body in their order, files as bytes; raises MalformedBody."""
    try:
        async with request.form(max_files=_MAX_FORM_FILES, max_fields=max_fields) as form:
            return [(name, await _content(value)) for name, value in form.multi_items()]
    except HTTPException as error:
        raise MalformedBody(f"the body is not multipart/form-data: {error.detail}") from error
    except UnicodeError as error:
        raise MalformedBody(f"the body is not text in the charset that it names: {error}") from error


async def _content(value: str | UploadFile) -> str | bytes:
    return value if isinstance(value, str) else await value.read()


def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dictionary; raises InvalidField for a name that is given twice."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidField(f"{name} is given twice; send it once", name)
        fields[name] = value
    return fields


def _content_length(scope: Scope) -> int:
    value = Headers(scope=scope).get("content-length", "")
    return int(value) if value.isdecimal() else 0
