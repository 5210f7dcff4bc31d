"""Errors of the HTTP surface, and the one place where every error gets its status and its shape."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from model.errors import (
    AahrError,
    ArtifactCorrupt,
    ArtifactError,
    ArtifactMismatch,
    ArtifactMissing,
    EmptyText,
    ImageTooLarge,
    InvalidInput,
    ItemNotFound,
    TextTooLong,
    UnreadableImage,
)
from service.schemas import ErrorAnswer, ErrorDetail

log = logging.getLogger(__name__)

_LONGEST_ECHO = 200


class InvalidField(InvalidInput):
    """A field of the request that is missing, unknown or has a value that cannot be used."""

    code = "invalid_field"

    def __init__(self, message: str, field: str | None) -> None:
        super().__init__(message)
        self.field = field


class MalformedBody(InvalidInput):
    """The body is not what its content type says."""

    code = "malformed_body"


class UnsupportedMediaType(InvalidInput):
    """The content type of the body is none that the route reads."""

    code = "unsupported_media_type"


class BodyTooLarge(InvalidInput):
    """The body has more bytes than the setting allows."""

    code = "body_too_large"


class UnauthorizedError(AahrError):
    """The bearer token is missing or wrong."""

    code = "unauthorized"


class ForbiddenError(AahrError):
    """The client may not call this route from where it is."""

    code = "forbidden"


class UntrustedHost(AahrError):
    """The request names a host that the service is not known by."""

    code = "untrusted_host"


class CrossOriginError(AahrError):
    """A browser sends the request for a page of another origin."""

    code = "cross_origin"


class NotReadyError(AahrError):
    """The service cannot answer yet, or not any more."""

    code = "not_ready"


STATUS: Mapping[type[AahrError], HTTPStatus] = {
    MalformedBody: HTTPStatus.BAD_REQUEST,
    UntrustedHost: HTTPStatus.BAD_REQUEST,
    UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    CrossOriginError: HTTPStatus.FORBIDDEN,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    ItemNotFound: HTTPStatus.NOT_FOUND,
    ArtifactError: HTTPStatus.CONFLICT,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ImageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
    AahrError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_FIELD: Mapping[type[AahrError], str] = {
    EmptyText: "text",
    TextTooLong: "text",
    UnreadableImage: "image",
    ImageTooLarge: "image",
    ItemNotFound: "id",
}
_HEADERS: Mapping[type[AahrError], Mapping[str, str]] = {
    UnauthorizedError: {"WWW-Authenticate": "Bearer"},
    NotReadyError: {"Retry-After": "1"},
}
# What is wrong with files of this machine is the operator's business: their messages name paths, and go into the log.
_PUBLIC: Mapping[type[AahrError], str] = {
    ArtifactMissing: "the index or the model lacks a file; build it again, the log of the service names the file",
    ArtifactCorrupt: "the index or the model is damaged; build it again, the log of the service names the file",
    ArtifactMismatch: "the index was built with another model than the one that is served; rebuild it with this one, "
    "or restart the service with the other",
    ArtifactError: "the index or the model cannot be used; the reason is in the log of the service",
    AahrError: "the service failed; the reason is in its log",
}


def status_of(error: AahrError) -> HTTPStatus:
    """Status of the nearest class of the error that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def public_message(error: AahrError) -> str:
    """What a client may read: the error's own words, unless they were written for whoever runs the service."""
    status = status_of(error)
    if isinstance(error, ArtifactError) or status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return next(_PUBLIC[kind] for kind in type(error).__mro__ if kind in _PUBLIC)
    return str(error)


def internal_message(error: AahrError) -> str:
    """What the log says: one line, with the detail."""
    return f"{error.code}: {' '.join(error.with_detail.split())}"


def error_response(
    status: int, code: str, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The one error shape."""
    detail = ErrorDetail(code=code, message=_printable(message), field=None if field is None else _printable(field))
    body = ErrorAnswer(error=detail).model_dump_json(exclude_none=True)
    return Response(body, status, headers, media_type="application/json")


def aahr_error_response(error: AahrError) -> Response:
    """An error that this project raises on purpose as a response."""
    field = error.field if isinstance(error, InvalidField) else _FIELD.get(type(error))
    return error_response(status_of(error), error.code, public_message(error), field, _HEADERS.get(type(error)))


def invalid_field(problems: Sequence[Any]) -> InvalidField:
    """The first of pydantic's problems as an error."""
    problem = problems[0]
    path = [str(part) for part in problem["loc"]]
    message = str(problem["msg"]).removeprefix("Value error, ")
    return InvalidField(f"{path[0]}: {message}" if path else message, path[0] if path else None)


def install_error_handlers(app: FastAPI) -> None:
    """Every answer that is no success gets the one shape, whoever raised it."""
    app.add_exception_handler(AahrError, _on_aahr_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unexpected)


def _on_aahr_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, AahrError)
    if error.detail or public_message(error) != str(error):
        log.warning("%s", internal_message(error))
    return aahr_error_response(error)


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    message = str(error.detail)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        message = f"{request.method} {request.url.path} is not served; see /docs"
    return error_response(status, status.name.lower(), message, headers=error.headers)


def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The first part of the place is "query", "path" or "body".
    problems = [{**problem, "loc": problem["loc"][1:]} for problem in error.errors()]
    return aahr_error_response(invalid_field(problems))


def _on_disconnect(_request: Request, _error: Exception) -> Response:
    """Nobody reads it; a client that goes away while it sends is no fault of the service."""
    return aahr_error_response(MalformedBody("the client went away before the body was whole"))


def _on_unexpected(_request: Request, _error: Exception) -> Response:
    """Starlette raises the exception again once this is sent, and the server logs it with its traceback."""
    message = "the service failed unexpectedly; the reason is in its log"
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", message)


def _printable(text: str) -> str:
    """What clients sent may come back in a message: short, and without what UTF-8 cannot carry."""
    shown = text if len(text) <= _LONGEST_ECHO * 3 else text[: _LONGEST_ECHO * 3] + "…"
    return shown.encode("utf-8", "replace").decode("utf-8")
