"""HTTP as uvicorn speaks it with httptools, with the limits on heads of requests that those two leave open."""

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.errors import error_response

MAX_HEAD_BYTES = 32_768
MAX_HEADERS = 100
HEAD_WITHIN_S = 10.0
# What a header takes beside its name and value: colon, space and line break.
_HEADER_OVERHEAD = 4


class LimitedProtocol(HttpToolsProtocol):
    """431 for a head that is too large, and a connection that is closed where the head takes too long.

    Without this a client could hold connections by sending a header now and then, or fill the memory with one.
    """

    _head_bytes = 0
    _received_bytes = 0
    _head_is_too_large = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection on which nothing is sent is held no longer than one with half a head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The parser keeps what is not a whole header yet, however long it becomes, so that it is counted here."""
        self._received_bytes += len(data)
        super().data_received(data)
        if self._head_timer is None:
            self._received_bytes = 0
        elif self._received_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._head_is_too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + _HEADER_OVERHEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._forget_head()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """The answer where the parser fails, or is made to fail: in the one shape of errors."""
        self._forget_head()
        self.transport.write(_TOO_LARGE if self._head_is_too_large else _MALFORMED)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            self._head_is_too_large = True
            raise ValueError("the head of the request is too large")

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_WITHIN_S, self._close)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def _last_response(status: HTTPStatus, code: str, message: str) -> bytes:
    """A whole response over HTTP/1.1, after which the connection is closed."""
    response = error_response(status, code, message, headers={"Connection": "close"})
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    lines += [b"%b: %b" % (name, value) for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(response.body)])


_TOO_LARGE = _last_response(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    f"the head of a request has at most {MAX_HEAD_BYTES:,} bytes and {MAX_HEADERS} headers",
)
_MALFORMED = _last_response(HTTPStatus.BAD_REQUEST, "malformed_request", "this is not a request in HTTP/1.1")
