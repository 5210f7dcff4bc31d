"""The rows of a table: CSV or TSV with a header, JSON lines, or Parquet."""

import csv
import datetime
import decimal
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from model.datasets.strict_json import parse_json
from model.errors import DataError

_BATCH_ROWS = 4096


class Row(NamedTuple):
    """One row, where it stands (such as "line 3"), and its cells by column."""

    path: Path
    place: str
    cells: Mapping[str, Any]


CheckHeader = Callable[[Path, Sequence[str]], None]  # raises DataError for columns that cannot be used


def csv_rows(path: Path, check: CheckHeader) -> Iterator[Row]:
    """The rows of a CSV file, or tab-separated where its name ends in .tsv; every cell is a text.

    Raises DataError, OSError and UnicodeDecodeError.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=delimiter)
        try:
            header = [name.strip() for name in next(reader, [])]
            _refuse_twice(path, header)
            check(path, header)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    _check_width(path, line, header, cells)
                    yield Row(path, f"line {line}", dict(zip(header, cells, strict=True)))
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}; fix the quotes there") from error


def json_rows(path: Path, check: CheckHeader) -> Iterator[Row]:  # noqa: ARG001 - every line has columns of its own
    """The rows of a file with one JSON object per line; values keep their types. Raises as `csv_rows`."""
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                cells = parse_json(text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {line}: not JSON that can be used ({error}); fix it there") from error
            if not isinstance(cells, dict):
                raise DataError(
                    f'{path}, line {line}: not an object; each line is {{"image": "a.jpg", "caption": "a dog"}}'
                )
            yield Row(path, f"line {line}", cells)


def parquet_rows(path: Path, check: CheckHeader) -> Iterator[Row]:
    """The rows of a Parquet file, a few thousand in memory at a time; nulls of a column are left out of the row.

    Dates and times become ISO 8601 texts, decimals numbers, not-a-number null. Raises as `csv_rows`, and DataError for
    values that JSON does not have, such as bytes.
    """
    try:
        with pq.ParquetFile(path) as file:
            check(path, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(_BATCH_ROWS):
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(path, f"row {number}", _plain_cells(path, number, cells))
    except pa.ArrowException as error:
        raise DataError(f"{path} is not a Parquet file that can be read: {str(error).splitlines()[0]}") from error


def _refuse_twice(path: Path, header: Sequence[str]) -> None:
    if len(set(header)) < len(header):
        raise DataError(f"{path}, line 1: a column name stands twice in {', '.join(header)!r:.200}; rename one")


def _check_width(path: Path, line: int, header: Sequence[str], cells: Sequence[str]) -> None:
    if len(cells) != len(header):
        raise DataError(
            f"{path}, line {line}: {len(cells)} cells under {len(header)} columns; "
            "put a caption with commas into double quotes"
        )


def _plain_cells(path: Path, number: int, cells: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {name: _plain(value) for name, value in cells.items() if value is not None}
    except ValueError as error:
        raise DataError(f"{path}, row {number}: {error}; leave the column out or convert it") from error


def _plain(value: Any) -> Any:
    """A value of Arrow as one of JSON; raises ValueError for what has no such form."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(f"{value} is not a JSON value")
        return None if math.isnan(value) else value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    raise ValueError(f"a value of type {type(value).__name__} is not a JSON value")
