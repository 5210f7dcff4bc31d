"""Every error response of the application has the one shape, whatever raised the error."""

import json
import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from model.errors import AahrError
from service.api.errors import (
    MalformedBody,
    aahr_error_response,
    error_response,
    internal_message,
    invalid_field,
    public_message,
)
from service.api.headers import default_headers
from service.obs.context import current_request_id

log = logging.getLogger(__name__)


def install_error_handlers(app: FastAPI) -> None:
    """Every error response has the one shape, whatever raised the error."""
    app.add_exception_handler(AahrError, _on_aahr_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unexpected)


def _on_aahr_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AahrError)
    if error.detail or public_message(error) != str(error):
        log.warning("%s", internal_message(error))
    return _as_asked(request, aahr_error_response(error))


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    message = str(error.detail)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        message = f"{request.method} {request.url.path} is not served; see /docs"
    return error_response(status, status.name.lower(), message, headers=error.headers)


def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The first part of the location is "query", "path" or "body".
    problems = [{**problem, "loc": problem["loc"][1:]} for problem in error.errors()]
    return _as_asked(request, aahr_error_response(invalid_field(problems)))


def _as_asked(request: Request, response: Response) -> Response:
    """On the routes of OpenAI's clients, with what they look for beside our own fields."""
    if not request.url.path.startswith("/v1/"):
        return response
    detail = json.loads(bytes(response.body))["error"]
    kind = "server_error" if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    body = {"error": {**detail, "type": kind, "param": detail.get("field")}}
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(json.dumps(body), response.status_code, headers)


def _on_disconnect(_request: Request, _error: Exception) -> Response:
    """Nobody reads this response; a client that disconnects while sending is not a fault of the service."""
    return aahr_error_response(MalformedBody("the client disconnected before the whole body had arrived"))


def _on_unexpected(_request: Request, _error: Exception) -> Response:
    """Starlette re-raises the exception once this has been sent, and the server logs it with its traceback."""
    message = "the service failed unexpectedly; see its log"
    # This response is sent outside of the middleware that writes these headers on all others.
    headers = {name.decode(): value.decode() for name, value in default_headers().items()}
    request_id = current_request_id()
    if request_id:
        headers["X-Request-Id"] = request_id
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", message, headers=headers)
