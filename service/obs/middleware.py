"""The outermost layer of every request: its id, its count and times, its line in the access log, its trace."""

import logging
import re
from collections.abc import Awaitable, Mapping
from secrets import token_hex

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.obs.context import RequestContext, current_request
from service.obs.metrics import METHODS, OTHER, UNMATCHED, Metrics
from service.obs.observers import Stage
from service.obs.timing import Stopwatch
from service.obs.tracing import RequestSpan, Tracing

access_log = logging.getLogger("service.access")

_HEADER = b"x-request-id"
# A client's id goes into logs and back to the client, so it must be harmless there.
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_FAILED = 500


class Observed:
    """ASGI middleware that gives every request an id and a stopwatch, and reports how it ended.

    The id is that of the client's `X-Request-Id` if it has up to 64 letters, digits, dots, hyphens and underscores,
    else a new one. The stopwatch is `request.state.watch`.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing | None = None, *, log_access: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._log_access = log_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        span = self._tracing.start(scope) if self._tracing is not None else None
        current_request.set(RequestContext(request_id, span.trace_id if span is not None else None))
        watch = Stopwatch()
        scope.setdefault("state", {})["watch"] = watch
        status = _FAILED

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # A new list: that of a response may be shared by several requests.
                headers = [*message.get("headers", ()), (_HEADER, request_id.encode())]
                message = {**message, "headers": headers}
            return send(message)

        self._metrics.request_started()
        try:
            await self._app(scope, receive, send_with_id)
        except BaseException:
            # What no handler has caught, Starlette answers outside of this middleware.
            status = _FAILED
            raise
        finally:
            self._report(scope, status, watch, span)

    def _report(self, scope: Scope, status: int, watch: Stopwatch, span: RequestSpan | None) -> None:
        seconds = watch.total_s
        method, route = scope["method"], self._route_of(scope)
        self._metrics.request_finished(route, method, status, seconds)
        stages = watch.stages_s()
        for stage, spent in stages.items():
            self._metrics.observe_stage(stage, spent)
        if self._log_access and access_log.isEnabledFor(logging.INFO):
            _log(method if method in METHODS else OTHER, route, status, seconds, stages)
        if span is not None:
            span.finish(method if method in METHODS else OTHER, route, status, watch)

    def _route_of(self, scope: Scope) -> str:
        """The template of the matched route, such as /items/{id}: never the path, of which clients could make many."""
        route = getattr(scope.get("route"), "path", None)
        # Not named in the scope are some routes without parameters, such as /openapi.json, and requests refused before
        # they were routed; a path that is no template itself is "unmatched".
        template = scope["path"] if route is None else route
        return template if self._metrics.knows(template) else UNMATCHED


def request_id_of(scope: Scope) -> str:
    """The client's id if it is harmless, else 16 random hex digits."""
    for name, value in scope["headers"]:
        if name == _HEADER and _SANE.fullmatch(value):
            return str(value, "ascii")
    return token_hex(8)


def _log(method: str, route: str, status: int, seconds: float, stages: Mapping[Stage, float]) -> None:
    """Neither path nor query: they may hold what clients searched for, or keys."""
    duration_ms = round(seconds * 1000, 3)
    message = f"{method} {route} {status} in {duration_ms:.3f} ms"
    # Made by hand: `access_log.info` would first look for the line of code that called it.
    record = logging.LogRecord(access_log.name, logging.INFO, "", 0, message, (), None)
    record.method, record.route, record.status, record.duration_ms = method, route, status, duration_ms
    record.stages_ms = {stage: round(spent * 1000, 3) for stage, spent in stages.items()}
    access_log.handle(record)
