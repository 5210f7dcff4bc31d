"""How many requests are in progress, and how long each may take: slow clients included."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.errors import AahrError
from service.api.errors import RequestTimeout, SlowRequest, aahr_error_response
from service.core.errors import OverloadedError

# Probes are answered even when nothing else is.
EXEMPT_PREFIX = "/health/"
_RETRY_AFTER_S = 1.0


class RequestLimits:
    """ASGI middleware: 429 beyond `max_concurrency` requests in progress, 408 or 503 after `timeout_s` seconds.

    408 where the service was waiting for the rest of the body, which a slow or hostile client holds back; 503 where
    the service itself was too slow. An answer that has begun is cut off, and so is its connection.
    """

    def __init__(self, app: ASGIApp, *, timeout_s: float, max_concurrency: int) -> None:
        self._app = app
        self._timeout_s = timeout_s
        self._max_concurrency = max_concurrency
        self._in_progress = 0

    @property
    def in_progress(self) -> int:
        """How many requests are being answered."""
        return self._in_progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(EXEMPT_PREFIX):
            await self._app(scope, receive, send)
        elif self._in_progress >= self._max_concurrency:
            message = f"{self._max_concurrency} requests are in progress already; try again in a second"
            await aahr_error_response(OverloadedError(message, _RETRY_AFTER_S))(scope, receive, send)
        else:
            self._in_progress += 1
            try:
                await self._within_time(scope, receive, send)
            finally:
                self._in_progress -= 1

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(receive, send)
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                await self._app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            if not deadline.expired():
                raise
            if not exchange.has_answered:
                await aahr_error_response(self._error(exchange))(scope, receive, send)

    def _error(self, exchange: "_Exchange") -> AahrError:
        if exchange.awaits_body:
            return SlowRequest(f"the whole body did not arrive within {self._timeout_s:g} s; send less, or faster")
        return RequestTimeout(f"the request was not answered within {self._timeout_s:g} s; try again later")


class _Exchange:
    """What has been received and sent of one request and its answer."""

    __slots__ = ("_receive", "_send", "_whole_body", "awaits_body", "has_answered")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._whole_body = False
        self.awaits_body = False
        self.has_answered = False

    async def receive(self) -> Message:
        # After the body, routes wait here to learn whether the client has left: that is not waiting for the client.
        self.awaits_body = not self._whole_body
        message = await self._receive()
        self.awaits_body = False
        self._whole_body = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        self.has_answered = True
        await self._send(message)
