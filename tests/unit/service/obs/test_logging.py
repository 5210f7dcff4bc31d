"""The one format of log lines."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import datetime

import pytest

from service.obs.context import RequestContext, current_request
from service.obs.logging import LogFormat, LogLevel, configure_logging
from service.obs.metrics import Metrics
from tests.unit.service.obs.requests import observed_client


class Log:
    """The log of this process while a test runs."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def configure(self, log_format: LogFormat, level: LogLevel = "info") -> None:
        configure_logging(log_format, level, self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def log() -> Iterator[Log]:
    """The logging of the test runner is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield Log()
    root.handlers = handlers
    root.setLevel(level)
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags
    logging.captureWarnings(False)
    for name in ("service", "index", "model"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def in_request() -> Iterator[None]:
    token = current_request.set(RequestContext("mine", "0af7651916cd43dd8448eb211c80319c"))
    yield
    current_request.reset(token)


def test_json_lines_parse_and_say_when_what_and_where(log: Log) -> None:
    log.configure("json")
    logging.getLogger("service.core").info("a %s\nof \u2028 two lines", "message")
    (line,) = log.objects
    assert datetime.fromisoformat(str(line.pop("time"))).utcoffset() is not None
    assert line == {"level": "INFO", "logger": "service.core", "message": "a message\nof \u2028 two lines"}


@pytest.mark.usefixtures("in_request")
def test_lines_inside_a_request_carry_its_id_and_its_trace(log: Log) -> None:
    log.configure("json")
    logging.getLogger("service").warning("inside")
    log.configure("text")
    logging.getLogger("service").warning("inside")
    first, second = log.lines
    assert json.loads(first)["request_id"] == "mine"
    assert json.loads(first)["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert second.endswith("Z WARNING service [mine]: inside")


def test_requests_log_an_access_line_and_all_their_lines_have_the_id(log: Log) -> None:
    log.configure("json")
    with observed_client(Metrics(), log_access=True) as client:
        client.get("/items/a?text=secret", headers={"X-Request-Id": "mine"})
        made = client.get("/items/lost").headers["x-request-id"]
    shown = [(line["logger"], line["request_id"], line.get("status")) for line in log.objects]
    assert shown == [
        ("service.test", "mine", None),
        ("service.access", "mine", 200),
        ("service.test", made, None),
        ("service.access", made, 404),
    ]
    assert set(log.objects[1]) == {
        *("time", "level", "logger", "message", "request_id"),
        *("method", "route", "status", "duration_ms", "stages_ms"),
    }
    assert "secret" not in log.stream.getvalue()


def test_exceptions_are_one_json_line_and_in_text_a_traceback(log: Log) -> None:
    for log_format in ("json", "text"):
        log.configure(log_format)  # type: ignore[arg-type]
        try:
            raise RuntimeError("what went wrong")
        except RuntimeError:
            logging.getLogger("service").exception("failed")
    first, second, *traceback = log.lines
    assert str(json.loads(first)["exception"]).endswith("RuntimeError: what went wrong")
    assert second.endswith("ERROR service: failed")
    assert traceback[-1] == "RuntimeError: what went wrong"


def test_a_client_cannot_make_up_lines_of_text(log: Log) -> None:
    log.configure("text")
    logging.getLogger("service").warning("unknown %s", "x\r\n2026-01-01T00:00:00.000Z ERROR service: forged")
    assert len(log.lines) == 1


def test_levels_are_for_our_own_loggers(log: Log) -> None:
    log.configure("text", "debug")
    for name in ("service.core", "PIL.Image", "uvicorn.error"):
        logging.getLogger(name).debug("detail of %s", name)
    log.configure("text", "error")
    logging.getLogger("service.core").warning("not shown")
    assert [line.partition("Z ")[2] for line in log.lines] == ["DEBUG service.core: detail of service.core"]


def test_uvicorn_and_warnings_go_through_the_same_format(log: Log) -> None:
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.addHandler(logging.StreamHandler(log.stream))
    log.configure("json")
    uvicorn.error("cannot", extra={"color_message": "\x1b[31mcannot"})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Captured anew: catch_warnings has put Python's own function back.
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old use", UserWarning, stacklevel=1)
    shown = [(line["logger"], set(line) - {"time", "level", "logger"}) for line in log.objects]
    assert shown == [("uvicorn.error", {"message"}), ("py.warnings", {"message"})]
