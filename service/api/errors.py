"""Errors of the HTTP surface, and the one place where every error gets its status and its shape."""

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Response

from model.errors import (
    AahrError,
    ArtifactBusy,
    ArtifactCorrupt,
    ArtifactError,
    ArtifactMismatch,
    ArtifactMissing,
    EmptyText,
    ImageChanged,
    ImagesNotWritable,
    ImageTooLarge,
    InvalidInput,
    ItemNotFound,
    StorageFull,
    TextTooLong,
    UnreadableImage,
)
from service.api.schemas import ErrorAnswer, ErrorDetail
from service.core.errors import InvalidField, NotReadyError, OverloadedError

log = logging.getLogger(__name__)

_LONGEST_ECHO = 200


class MalformedBody(InvalidInput):
    """The body is not what its content type says."""

    code = "malformed_body"


class UnsupportedMediaType(InvalidInput):
    """The route does not read bodies of this content type."""

    code = "unsupported_media_type"


class BodyTooLarge(InvalidInput):
    """The body is larger than the setting allows."""

    code = "body_too_large"


class UnknownModel(AahrError):
    """The request names a model that is not served."""

    code = "model_not_found"


class UnauthorizedError(AahrError):
    """The bearer token is missing or wrong."""

    code = "unauthorized"


class ForbiddenError(AahrError):
    """The client may not call this route from its address."""

    code = "forbidden"


class InsufficientScope(AahrError):
    """The client's key may not do this."""

    code = "insufficient_scope"


class RateLimited(AahrError):
    """The client has sent as many requests as it may for now; `headers` say when it may send another."""

    code = "rate_limited"

    def __init__(self, message: str, headers: Mapping[str, str] | None = None, *, detail: str | None = None) -> None:
        super().__init__(message, detail=detail)
        self.headers = headers or {}


class SlowRequest(AahrError):
    """The rest of the body did not arrive in time."""

    code = "slow_request"


class RequestTimeout(AahrError):
    """The service did not answer in time."""

    code = "request_timeout"


class UrlFetchingDisabled(InvalidInput):
    """The service fetches no images from URLs unless it is told to."""

    code = "url_fetching_disabled"


class UrlNotAllowed(InvalidInput):
    """The URL itself breaks a rule: its scheme, its port, or what is written into it."""

    code = "url_not_allowed"


class UrlUnreachable(InvalidInput):
    """Nothing public answers at the URL; why is not told, so that nobody can look around in a private network."""

    code = "url_unreachable"


class UrlNotAnImage(InvalidInput):
    """What the URL leads to is not an image."""

    code = "url_not_an_image"


class UrlTooLarge(InvalidInput):
    """What the URL leads to is larger than the body of a request may be."""

    code = "url_too_large"


class UntrustedHost(AahrError):
    """The request addresses the service by a host name that it does not answer to."""

    code = "untrusted_host"


class CrossOriginError(AahrError):
    """A browser sends the request on behalf of a page from another origin."""

    code = "cross_origin"


STATUS: Mapping[type[AahrError], HTTPStatus] = {
    MalformedBody: HTTPStatus.BAD_REQUEST,
    UntrustedHost: HTTPStatus.BAD_REQUEST,
    UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    CrossOriginError: HTTPStatus.FORBIDDEN,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    InsufficientScope: HTTPStatus.FORBIDDEN,
    SlowRequest: HTTPStatus.REQUEST_TIMEOUT,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    RequestTimeout: HTTPStatus.SERVICE_UNAVAILABLE,
    ItemNotFound: HTTPStatus.NOT_FOUND,
    UnknownModel: HTTPStatus.NOT_FOUND,
    ArtifactBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    ArtifactError: HTTPStatus.CONFLICT,
    ImageChanged: HTTPStatus.CONFLICT,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ImageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    OverloadedError: HTTPStatus.TOO_MANY_REQUESTS,
    NotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
    AahrError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_FIELD: Mapping[type[AahrError], str] = {
    EmptyText: "text",
    TextTooLong: "text",
    UnreadableImage: "image",
    ImageTooLarge: "image",
    ItemNotFound: "id",
    ImageChanged: "id",
    UnknownModel: "model",
    UrlFetchingDisabled: "image_url",
    UrlNotAllowed: "image_url",
    UrlUnreachable: "image_url",
    UrlNotAnImage: "image_url",
    UrlTooLarge: "image_url",
}
_HEADERS: Mapping[type[AahrError], Mapping[str, str]] = {
    UnauthorizedError: {"WWW-Authenticate": "Bearer"},
    NotReadyError: {"Retry-After": "1"},
    RequestTimeout: {"Retry-After": "1"},
    # What still arrives of the body must not be read as another request.
    SlowRequest: {"Connection": "close"},
    ArtifactBusy: {"Retry-After": "5"},
}
# Faults of files on this machine are for the operator: their messages name paths, so they only go into the log.
_PUBLIC: Mapping[type[AahrError], str] = {
    ArtifactMissing: "a file of the index or the model is missing; rebuild it (the service log names the file)",
    ArtifactCorrupt: "the index or the model is damaged; rebuild it (the service log names the file)",
    ArtifactMismatch: "the index was built with a different model from the one being served; rebuild it with this "
    "model, or restart the service with the other one",
    ArtifactBusy: "another process is changing the index; send the change again when that has ended",
    StorageFull: "there is no room for the change, and nothing was changed; make room on the disk of the index and of "
    "its images, and send it again",
    ImagesNotWritable: "image files cannot be put below the images root of the index, such as where it is an archive "
    "or read-only, and nothing was changed (the service log says why)",
    ArtifactError: "the index or the model cannot be used; see the service log",
    AahrError: "the service failed; see its log",
}


def status_of(error: AahrError) -> HTTPStatus:
    """The status of the most specific class of the error that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def public_message(error: AahrError) -> str:
    """What clients may see: the message of the error, unless it was written for the operator."""
    status = status_of(error)
    if isinstance(error, ArtifactError) or status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return next(_PUBLIC[kind] for kind in type(error).__mro__ if kind in _PUBLIC)
    return str(error)


def internal_message(error: AahrError) -> str:
    """What is logged: one line, with the detail."""
    return f"{error.code}: {' '.join(error.with_detail.split())}"


def error_response(
    status: int, code: str, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The one error shape."""
    detail = ErrorDetail(code=code, message=_printable(message), field=None if field is None else _printable(field))
    body = ErrorAnswer(error=detail).model_dump_json(exclude_none=True)
    return Response(body, status, headers, media_type="application/json")


def aahr_error_response(error: AahrError) -> Response:
    """The response for an error that this project raises on purpose."""
    field = error.field if isinstance(error, InvalidField) else _FIELD.get(type(error))
    return error_response(status_of(error), error.code, public_message(error), field, _headers(error))


def _headers(error: AahrError) -> Mapping[str, str] | None:
    if isinstance(error, OverloadedError):
        return {"Retry-After": str(math.ceil(error.retry_after_s))}
    if isinstance(error, RateLimited):
        return error.headers
    return _HEADERS.get(type(error))


def invalid_field(problems: Sequence[Any]) -> InvalidField:
    """The first problem that pydantic found, as an error."""
    problem = problems[0]
    path = [str(part) for part in problem["loc"]]
    message = str(problem["msg"]).removeprefix("Value error, ")
    return InvalidField(f"{path[0]}: {message}" if path else message, path[0] if path else None)


def _printable(text: str) -> str:
    """Messages may echo what clients sent: it is shortened, and stripped of what UTF-8 cannot encode."""
    shown = text if len(text) <= _LONGEST_ECHO * 3 else text[: _LONGEST_ECHO * 3] + "…"
    return shown.encode("utf-8", "replace").decode("utf-8")
