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
        self._deadlines = _Deadlines(timeout_s)

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
        self._deadlines.start(exchange)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            # Only the deadline's own cancellation ends here; that of the server, at its shutdown, goes on.
            if not exchange.has_expired or exchange.task.uncancel() > 0:
                raise
            if not exchange.has_answered:
                await aahr_error_response(self._error(exchange))(scope, receive, send)
        finally:
            self._deadlines.end(exchange)

    def _error(self, exchange: "_Exchange") -> AahrError:
        if exchange.awaits_body:
            return SlowRequest(f"the whole body did not arrive within {self._timeout_s:g} s; send less, or faster")
        return RequestTimeout(f"the request was not answered within {self._timeout_s:g} s; try again later")


class _Exchange:
    """One request and its answer: what has been received and sent of them, and by which task."""

    __slots__ = ("_receive", "_send", "_whole_body", "awaits_body", "due", "has_answered", "has_expired", "task")

    def __init__(self, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.due = 0.0
        self.has_expired = False
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


class _Deadlines:
    """Cancels exchanges that last longer than `timeout_s`, with one timer for all: the oldest is always due first."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._running: dict[_Exchange, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, exchange: _Exchange) -> None:
        loop = asyncio.get_running_loop()
        exchange.due = loop.time() + self._timeout_s
        self._running[exchange] = None
        if self._timer is None:
            self._timer = loop.call_at(exchange.due, self._expire, loop)

    def end(self, exchange: _Exchange) -> None:
        self._running.pop(exchange, None)
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, now = None, loop.time()
        for exchange in list(self._running):
            if exchange.due > now:
                self._timer = loop.call_at(exchange.due, self._expire, loop)
                return
            del self._running[exchange]
            exchange.has_expired = True
            exchange.task.cancel()
