"""The plain values of all payloads in columns, by path and kind, for filters.

Payloads have whatever keys they like, most of them in a few rows only. So a value is kept with its row: for each kind
one file of (row, value), in batches, in each batch the values of one path together; `payload.paths.arrow` says where.
A filter reads the values of its path and no others.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.arrow_file import BATCH_ROWS, ArrowFile
from index.payload import INT64, MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, InvalidPayload, check_payload, plain_values
from model.errors import ArtifactCorrupt


class Kind(StrEnum):
    """Kinds of plain values. Numbers without a fraction are integers, however they were written: 1.0 equals 1."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"


PATHS_FILE = "payload.paths.arrow"
VALUE_FILES = {kind: f"payload.{kind}.arrow" for kind in Kind}

_TYPES = {Kind.TEXT: pa.string(), Kind.INTEGER: pa.int64(), Kind.FLOAT: pa.float64(), Kind.BOOLEAN: pa.bool_()}
_PATHS_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        # Of the kind's file: the batch, and the place in it of the first value and of the one after the last.
        pa.field("batch", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("stop", pa.int32(), nullable=False),
    ]
)
_FLUSH_BYTES = 32 * 2**20

_SMALL = MAX_PAYLOAD_BYTES // 6  # characters; as JSON a character has at most six bytes
# Half surrogates are written as escapes, and numbers beyond 64 bits or any float with many digits or an exponent.
_PECULIAR = re.compile(r"\\u|\d{19}|\d[eE]|NaN|Infinity")

_ByPath = dict[str, tuple[list[int], list[Any]]]  # rows and values of each path


def _values_schema(kind: Kind) -> pa.Schema:
    return pa.schema([pa.field("row", pa.uint32(), nullable=False), pa.field("value", _TYPES[kind], nullable=False)])


class PayloadColumns:
    """The columns of a directory, memory-mapped; `size` is the number of rows."""

    def __init__(self, paths: ArrowFile, values: dict[Kind, ArrowFile], size: int) -> None:
        self._paths = pa.Table.from_batches(paths.batches, _PATHS_SCHEMA)
        self._values = values
        self._size = size

    @classmethod
    def open(cls, directory: Path, size: int) -> "PayloadColumns":
        """Raises ArtifactMissing, ArtifactCorrupt and OSError."""
        paths = ArrowFile.open(directory / PATHS_FILE, _PATHS_SCHEMA)
        files = {kind: ArrowFile.open(directory / name, _values_schema(kind)) for kind, name in VALUE_FILES.items()}
        return cls(paths, files, size)

    def at(self, path: str) -> Iterator[tuple[Kind, NDArray[np.uint32], pa.Array]]:
        """The values met at a path, a batch at a time: their kind, rows [n] and values [n]; raises ArtifactCorrupt."""
        for entry in self._paths.filter(pc.equal(self._paths["path"], path)).to_pylist():
            kind, rows, values = self._slice(entry)
            if len(rows) and rows.max() >= self._size:
                raise ArtifactCorrupt(f"{VALUE_FILES[kind]} names rows that are not there; rebuild the index")
            yield kind, rows, values

    @property
    def bytes(self) -> int:
        """Size of the files of values."""
        return sum(file.bytes for file in self._values.values())

    def release(self) -> None:
        """Let go of the pages in memory."""
        for file in self._values.values():
            file.release()

    def _slice(self, entry: dict[str, Any]) -> tuple[Kind, NDArray[np.uint32], pa.Array]:
        batches = self._values[entry["kind"]].batches if entry["kind"] in self._values else []
        start, stop = entry["start"], entry["stop"]
        if not (0 <= entry["batch"] < len(batches) and 0 <= start <= stop <= len(batches[entry["batch"]])):
            raise ArtifactCorrupt(f"{PATHS_FILE} names values that are not there; rebuild the index")
        batch = batches[entry["batch"]].slice(start, stop - start)
        return Kind(entry["kind"]), batch.column("row").to_numpy(), batch.column("value")


def write_payload_columns(directory: Path, payloads: Iterable[str]) -> None:
    """Write the columns of payloads, JSON objects of rows 0 … N - 1; memory is bounded.

    Raises InvalidPayload for a payload that is not within the limits, and OSError.
    """
    with _Writer(directory) as writer:
        for row, payload in enumerate(payloads):
            if payload != "{}":
                writer.add(row, payload)


class _Writer:
    """Gathers values until they are worth a batch."""

    def __init__(self, directory: Path) -> None:
        self._files = ExitStack()
        self._paths = self._open(directory / PATHS_FILE, _PATHS_SCHEMA)
        self._values = {kind: self._open(directory / name, _values_schema(kind)) for kind, name in VALUE_FILES.items()}
        self._written = dict.fromkeys(Kind, 0)  # batches
        self._clear()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._files:
            if kind is None:
                self._flush()

    def add(self, row: int, payload: str) -> None:
        for path, plain in plain_values(_parsed(payload)):
            kind, stored = kind_of(plain)
            rows, values = self._gathered[kind].setdefault(path, ([], []))
            rows.append(row)
            values.append(stored)
        self._rows += 1
        self._bytes += len(payload)
        if self._rows >= BATCH_ROWS or self._bytes >= _FLUSH_BYTES:
            self._flush()

    def _open(self, path: Path, schema: pa.Schema) -> pa.RecordBatchFileWriter:
        return self._files.enter_context(pa.ipc.new_file(self._files.enter_context(path.open("wb")), schema))

    def _flush(self) -> None:
        places: list[tuple[str, Kind, int, int, int]] = []
        for kind, by_path in self._gathered.items():
            if by_path:
                places.extend(self._write(kind, by_path))
                self._written[kind] += 1
        if places:
            columns = [
                pa.array(column, field.type)
                for column, field in zip(zip(*places, strict=True), _PATHS_SCHEMA, strict=True)
            ]
            self._paths.write_batch(pa.record_batch(columns, schema=_PATHS_SCHEMA))
        self._clear()

    def _write(
        self, kind: Kind, by_path: dict[str, tuple[list[int], list[Any]]]
    ) -> Iterator[tuple[str, Kind, int, int, int]]:
        start = 0
        rows: list[int] = []
        values: list[Any] = []
        for path in sorted(by_path):
            path_rows, path_values = by_path[path]
            rows += path_rows
            values += path_values
            yield path, kind, self._written[kind], start, len(rows)
            start = len(rows)
        columns = [pa.array(rows, pa.uint32()), pa.array(values, _TYPES[kind])]
        self._values[kind].write_batch(pa.record_batch(columns, schema=_values_schema(kind)))

    def _clear(self) -> None:
        self._gathered: dict[Kind, _ByPath] = {kind: {} for kind in Kind}
        self._rows = self._bytes = 0


def _parsed(payload: str) -> dict[str, Any]:
    """The payload, checked in full where a look at its text does not do: this runs for every row of a version."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"the payload {payload!r:.40} is not JSON ({error!s:.60})") from error
    nesting = payload.count("{") + payload.count("[")
    if not isinstance(value, dict) or nesting > MAX_PAYLOAD_DEPTH or len(payload) > _SMALL or _PECULIAR.search(payload):
        check_payload(value)
    payload_object: dict[str, Any] = value
    return payload_object


def kind_of(value: bool | int | float | str) -> tuple[Kind, bool | int | float | str]:
    """The kind of a plain value, and the value as it is stored and compared."""
    match value:
        case bool():
            return Kind.BOOLEAN, value
        case str():
            return Kind.TEXT, value
        case float() if not value.is_integer() or int(value) not in INT64:
            return Kind.FLOAT, value
    return Kind.INTEGER, int(value)
