"""Traces of requests."""

import subprocess
import sys
import threading
import time

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from model.errors import ConfigError
from service.obs import otel, tracing
from service.obs.metrics import Metrics
from service.obs.otel import OtelTracing
from service.obs.tracing import make_tracing
from tests.unit.service.obs.requests import observed_client

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
COLLECTOR = "http://127.0.0.1:4318"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def spans_of(path: str, **headers: str) -> dict[str, ReadableSpan]:
    """The spans of one request, by name."""
    exporter = InMemorySpanExporter()
    with observed_client(Metrics(), OtelTracing(SimpleSpanProcessor(exporter))) as client:
        client.get(path, headers=headers)
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_is_a_span_with_its_stages_as_children() -> None:
    spans = spans_of("/items/a?text=secret")
    assert set(spans) == {"GET /items/{id}", "encode", "search"}
    request = spans["GET /items/{id}"]
    assert (request.kind, request.parent) == (SpanKind.SERVER, None)
    assert dict(request.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/items/{id}",
        "http.response.status_code": 200,
    }
    assert request.resource.attributes["service.name"] == "aahr"
    for name, seconds in (("encode", 0.004), ("search", 0.001)):
        stage = spans[name]
        assert stage.parent is not None
        assert stage.parent.span_id == request.context.span_id
        assert stage.start_time is not None
        assert stage.end_time is not None
        assert stage.end_time - stage.start_time == pytest.approx(seconds * 1e9)
    assert "secret" not in "".join(span.to_json() for span in spans.values())


def test_a_stage_ends_within_its_request() -> None:
    spans = spans_of("/items/a")
    ends = [spans[name].end_time or 0 for name in ("encode", "search", "GET /items/{id}")]
    assert ends == sorted(ends)


def test_the_trace_of_the_client_goes_on() -> None:
    spans = spans_of("/items/a", traceparent=f"00-{TRACE}-{PARENT}-01")
    request = spans["GET /items/{id}"]
    assert request.parent is not None
    assert request.parent.span_id == int(PARENT, 16)
    assert {span.context.trace_id for span in spans.values()} == {int(TRACE, 16)}


def test_a_client_that_does_not_record_is_not_recorded() -> None:
    assert spans_of("/items/a", traceparent=f"00-{TRACE}-{PARENT}-00") == {}


@pytest.mark.parametrize(
    "header", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", "0" * 9000]
)
def test_a_bad_traceparent_starts_a_new_trace(header: str) -> None:
    request = spans_of("/items/a", traceparent=header)["GET /items/{id}"]
    assert request.parent is None
    assert request.context.trace_id != int(TRACE, 16)


def test_failures_are_errors_and_unknown_paths_have_no_name() -> None:
    assert spans_of("/items/broken")["GET /items/{id}"].status.status_code is StatusCode.ERROR
    assert spans_of("/items/lost")["GET /items/{id}"].status.status_code is StatusCode.UNSET
    assert list(spans_of("/secret")) == ["GET unmatched"]


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys; from service.obs.tracing import make_tracing; import service.obs.middleware, service.obs.logging;"
        "assert make_tracing(None) is None; assert not [name for name in sys.modules if 'opentelemetry' in name];"
        # FastAPI and redis import what they find of it for their own use.
        "import service.server; assert not {'service.obs.otel', 'opentelemetry.exporter.otlp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_endpoint_without_the_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_is_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"the extra otel is not installed; pip install 'aahr\[otel\]'"):
        make_tracing(COLLECTOR)


def test_the_extra_is_missing_where_the_sdk_cannot_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name}")

    monkeypatch.setattr(tracing, "find_spec", find_nothing)
    with pytest.raises(ConfigError, match="otel"):
        make_tracing(COLLECTOR)


@pytest.mark.parametrize(
    ("endpoint", "protocol", "told"),
    [("collector:4318", None, "OTEL_EXPORTER_OTLP_ENDPOINT"), (COLLECTOR, "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL")],
)
def test_an_endpoint_that_cannot_work_is_refused(endpoint: str, protocol: str | None, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_tracing(endpoint, protocol)


def test_what_is_left_is_sent_at_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor of batches waits for five seconds before it sends anything by itself."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(otel, "OTLPSpanExporter", lambda: exporter)
    made = make_tracing(COLLECTOR, "http/protobuf")
    assert made is not None
    with observed_client(Metrics(), made) as client:
        client.get("/items/lost")
    assert exporter.get_finished_spans() == ()
    made.close()
    assert [span.name for span in exporter.get_finished_spans()] == ["GET /items/{id}"]


def test_a_collector_that_hangs_holds_up_no_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    class Hanging(SpanExporter):
        def export(self, _: object) -> SpanExportResult:
            release.wait(30)
            return SpanExportResult.FAILURE

    monkeypatch.setattr(otel, "OTLPSpanExporter", Hanging)
    monkeypatch.setattr(otel, "_FLUSH_S", 0.1)
    hanging = otel.trace_to_collector()
    with observed_client(Metrics(), hanging) as client:
        client.get("/items/a")
    started = time.perf_counter()
    hanging.close()
    assert time.perf_counter() - started < 5
    release.set()
