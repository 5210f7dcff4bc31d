"""Which request the running code works for."""

from contextvars import ContextVar
from typing import NamedTuple


class RequestContext(NamedTuple):
    """The id under which a request is logged, and that of its trace where there is one."""

    request_id: str
    trace_id: str | None = None


# Set by the middleware and not reset: the task of a request ends with it, and what the server logs at its end, such as
# the traceback of an unexpected exception, still belongs to the request.
current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)


def current_request_id() -> str | None:
    """The id of the request that the running code works for; None outside of one."""
    context = current_request.get()
    return context.request_id if context else None
