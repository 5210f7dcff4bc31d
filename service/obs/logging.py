"""The one format of all log lines, for people or as JSON, each with the id of the request that it belongs to."""

import logging
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from service.obs.context import current_request

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

# What other libraries log at a lower level than WARNING is theirs to read.
_OURS = ("service", "index", "model")
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
# uvicorn repeats its message there with colours.
_LEFT_OUT = (*RESERVED_ATTRS, "color_message")
_ENCODER = JsonEncoder()


class TextLines(logging.Formatter):
    """`time LEVEL logger [request id]: message`, then a traceback if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(request_mark)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return iso_time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """A message stays on its line: a client that sends line breaks cannot make up lines of the log."""
        record.request_mark = f" [{record.request_id}]" if hasattr(record, "request_id") else ""
        return super().formatMessage(record).replace("\n", "\\n").replace("\r", "\\r")


class JsonLines(JsonFormatter):
    """One JSON object a line: time, level, logger, message, what the request is, and the traceback as `exception`."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "exception"},
            reserved_attrs=_LEFT_OUT,
            json_serializer=_to_json,
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return iso_time(record)


def _to_json(fields: dict[str, Any], **_: object) -> str:
    """With one encoder for all lines; json.dumps would make one for each."""
    return _ENCODER.encode(fields)


def iso_time(record: logging.LogRecord) -> str:
    """When the line was logged, in UTC to the millisecond, such as 2026-11-27T09:30:00.125Z."""
    return f"{_iso_second(int(record.created))}.{int(record.created % 1 * 1000):03d}Z"


@lru_cache(maxsize=1)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def add_request(record: logging.LogRecord) -> bool:
    """A filter that lets every line through and writes on it to which request, and to which trace, it belongs."""
    context = current_request.get()
    if context is not None:
        record.request_id = context.request_id
        if context.trace_id is not None:
            record.trace_id = context.trace_id
    return True


def configure_logging(log_format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """All lines of this process, uvicorn's and Python's warnings too, go to the stream (stderr) in one format."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(add_request)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(True)
    # No line shows them, and finding them out is a third of the cost of a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
