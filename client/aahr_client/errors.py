"""What the service may refuse, as exceptions."""

from collections.abc import Mapping

import httpx


class AahrError(Exception):
    """The service did not do what was asked; `code` is stable, `field` names the part of the request at fault."""

    def __init__(
        self,
        message: str,
        status: int,
        code: str,
        field: str | None = None,
        request_id: str | None = None,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class Invalid(AahrError):
    """The request cannot be used: 400, 413, 415, 422."""


class Unauthorized(AahrError):
    """The key is missing or wrong: 401."""


class Forbidden(AahrError):
    """The key does not allow this: 403."""


class NotFound(AahrError):
    """There is no such item: 404."""


class Conflict(AahrError):
    """The index is not in a state for this: 409."""


class TooManyRequests(AahrError):
    """Asked too often, or the service has too much to do: 429, after all attempts."""


class Unavailable(AahrError):
    """The service cannot answer now: 5xx, after all attempts."""


_KINDS: Mapping[int, type[AahrError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
}


def error_of(response: httpx.Response) -> AahrError:
    """The error that a response with a status of 400 or more stands for."""
    status, fields = response.status_code, _fields(response)
    kind = _KINDS.get(status, Unavailable if status >= 500 else Invalid)
    message = str(fields.get("message") or f"the service answered with status {status}")
    code, field = str(fields.get("code") or "unknown"), fields.get("field")
    return kind(
        message,
        status,
        code,
        None if field is None else str(field),
        response.headers.get("x-request-id"),
        _seconds(response.headers.get("retry-after", "")),
    )


def _seconds(retry_after: str) -> float:
    """Of a header that may also hold a date, which is not waited for."""
    return float(retry_after) if retry_after.isdecimal() else 0.0


def _fields(response: httpx.Response) -> Mapping[str, object]:
    """A proxy in between may answer with anything."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}
