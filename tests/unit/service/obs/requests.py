"""A small application behind the middleware, and requests of it without a server."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from service.obs.context import current_request_id
from service.obs.metrics import Metrics
from service.obs.middleware import Observed
from service.obs.tracing import Tracing

log = logging.getLogger("service.test")


async def _item(request: Request) -> PlainTextResponse:
    """Says its request's id; an id of the gallery asks for more than that."""
    name = request.path_params["id"]
    log.warning("working on it")
    if name == "lost":
        raise HTTPException(404)
    if name == "broken":
        raise RuntimeError("private detail")
    request.state.watch.add("encode", 0.004)
    request.state.watch.add("search", 0.001)
    return PlainTextResponse(current_request_id() or "")


@contextmanager
def observed_client(
    metrics: Metrics, tracing: Tracing | None = None, *, log_access: bool = False
) -> Iterator[TestClient]:
    """A client of one route, /items/{id}, of which "lost" is a 404 and "broken" fails."""
    app = Starlette(routes=[Route("/items/{id}", _item)])
    app.add_middleware(Observed, metrics=metrics, tracing=tracing, log_access=log_access)
    metrics.expect_routes([("/items/{id}", ["GET"])])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
