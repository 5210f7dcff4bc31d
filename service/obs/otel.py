"""Spans of requests through OpenTelemetry; imported only where traces are asked for."""

import time
from importlib.metadata import version
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from service.obs.timing import Stopwatch

_FLUSH_S = 5.0
_CONTEXT_HEADERS = (b"traceparent", b"tracestate")
_FIRST_SERVER_ERROR = 500


def trace_to_collector() -> "OtelTracing":
    """Tracing that sends spans in batches to where the environment says."""
    return OtelTracing(BatchSpanProcessor(OTLPSpanExporter()))


class OtelTracing:
    """Records a span for every request, with a child for each stretch of a stage."""

    def __init__(self, processor: SpanProcessor) -> None:
        """`processor` gets the spans when they have ended, and is shut down by `close`."""
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("aahr", version("aahr"))
        self._propagator = TraceContextTextMapPropagator()

    def start(self, scope: Scope) -> "OtelSpan":
        """Begin the span of a request, in the trace of the client where the request names one."""
        started_ns = time.time_ns()
        # The name follows when the route is known.
        span = self._tracer.start_span("HTTP", self._context_of(scope), SpanKind.SERVER, start_time=started_ns)
        return OtelSpan(self._tracer, span, started_ns)

    def close(self) -> None:
        """Send what is left, for at most 5 seconds: a collector that does not answer holds up no shutdown."""
        # A daemon, so that the end of the process does not wait for it either.
        sending = Thread(target=self._provider.shutdown, name="last-traces", daemon=True)
        sending.start()
        sending.join(_FLUSH_S)

    def _context_of(self, scope: Scope) -> Context:
        carrier: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            if name in _CONTEXT_HEADERS:
                carrier.setdefault(name.decode(), []).append(value.decode("latin-1"))
        return self._propagator.extract(carrier, Context())


class OtelSpan:
    """The span of one request."""

    def __init__(self, tracer: Tracer, span: Span, started_ns: int) -> None:
        self._tracer = tracer
        self._span = span
        self._started_ns = started_ns

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return format_trace_id(self._span.get_span_context().trace_id)

    def finish(self, method: str, route: str, status: int, watch: Stopwatch) -> None:
        """The request was answered; the stopwatch holds its stages. Nothing of its path, query or body is recorded."""
        if self._span.is_recording():
            self._span.update_name(f"{method} {route}")
            self._span.set_attributes(
                {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            )
            if status >= _FIRST_SERVER_ERROR:
                self._span.set_status(StatusCode.ERROR)
            self._add_stages(watch)
        self._span.end()

    def _add_stages(self, watch: Stopwatch) -> None:
        """The stopwatch and the span were started together, so the one's clock is moved onto the other's."""
        parent = set_span_in_context(self._span, Context())
        for stage, started, seconds in watch.intervals:
            started_ns = self._started_ns + _ns(started - watch.started)
            self._tracer.start_span(stage, parent, start_time=started_ns).end(started_ns + _ns(seconds))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _resource() -> Resource:
    """The service is called aahr, unless the environment names it."""
    given = Resource.create()
    if str(given.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return given.merge(Resource({SERVICE_NAME: "aahr"}))
    return given
