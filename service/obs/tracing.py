"""Traces of requests, where a collector for them is named; nothing of OpenTelemetry is imported otherwise."""

from importlib.util import find_spec
from typing import Protocol

from starlette.types import Scope

from model.errors import ConfigError
from service.obs.timing import Stopwatch

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_SPOKEN = "http/protobuf"


class RequestSpan(Protocol):
    """The span of one request."""

    @property
    def trace_id(self) -> str:
        """32 hex digits."""

    def finish(self, method: str, route: str, status: int, watch: Stopwatch) -> None:
        """The request was answered; the stopwatch holds its stages."""


class Tracing(Protocol):
    """Makes spans; `close` sends what is left of them."""

    def start(self, scope: Scope) -> RequestSpan:
        """Begin the span of a request, in the trace of the client where the request names one."""

    def close(self) -> None:
        """Send what is left, within some seconds; takes no spans any more."""


def make_tracing(endpoint: str | None, protocol: str | None = None) -> Tracing | None:
    """Tracing to a collector; None where no endpoint is set.

    The exporter reads the endpoint, and the conventional variables beside it, from the environment by itself. Raises
    ConfigError for an endpoint that is not a URL, for a protocol other than OTLP over HTTP, and where the extra that
    brings OpenTelemetry is not installed.
    """
    if endpoint is None:
        return None
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"{ENDPOINT} is not a URL; write it as http://host:4318, which is OTLP over HTTP")
    if protocol not in (None, _SPOKEN):
        raise ConfigError(f"{PROTOCOL} is {protocol:.40}, but traces are sent as {_SPOKEN}; set it so, or unset it")
    if not _is_installed():
        raise ConfigError(
            f"{ENDPOINT} is set, but the extra otel is not installed; pip install 'aahr[otel]' or unset it"
        )
    from service.obs.otel import trace_to_collector

    return trace_to_collector()


def _is_installed() -> bool:
    try:
        return None not in (find_spec("opentelemetry.sdk.trace"), find_spec("opentelemetry.exporter.otlp.proto.http"))
    except ModuleNotFoundError:
        return False
