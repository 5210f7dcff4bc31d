"""Captions as a table, one line for each image and caption: CSV with a header, or JSON lines."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from index.captions.records import Caption, CaptionedImage, normal_uri
from model.datasets.strict_json import parse_json
from model.errors import DataError

_COLUMNS = ("image", "caption")

NumberedRow = tuple[int, Mapping[str, Any]]


def read_csv(path: Path) -> tuple[CaptionedImage, ...]:
    """Read a CSV file, or tab-separated where its name ends in .tsv; further columns become the payload.

    Raises DataError, OSError and UnicodeDecodeError.
    """
    return _grouped(path, _csv_rows(path))


def read_json_lines(path: Path) -> tuple[CaptionedImage, ...]:
    """Read one JSON object per line; further keys become the payload. Raises as `read_csv`."""
    return _grouped(path, _json_rows(path))


def _csv_rows(path: Path) -> Iterator[NumberedRow]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=delimiter)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    _check_width(path, line, header, cells)
                    yield line, dict(zip(header, cells, strict=True))
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}; mend the quotes there") from error


def _check_header(path: Path, header: list[str]) -> None:
    if absent := [name for name in _COLUMNS if name not in header]:
        found = ", ".join(header) or "nothing"
        raise DataError(
            f"{path}, line 1: no column {' and '.join(absent)} in {found!r:.200}; name them in the first line"
        )
    if len(set(header)) < len(header):
        raise DataError(f"{path}, line 1: a column name stands twice in {', '.join(header)!r:.200}; rename one")


def _check_width(path: Path, line: int, header: list[str], cells: list[str]) -> None:
    if len(cells) != len(header):
        raise DataError(
            f"{path}, line {line}: {len(cells)} cells under {len(header)} columns; "
            "put a caption with commas into double quotes"
        )


def _json_rows(path: Path) -> Iterator[NumberedRow]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = parse_json(text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {line}: no JSON that can be used ({error}); mend it there") from error
            if not isinstance(row, dict):
                raise DataError(
                    f'{path}, line {line}: no object; each line is {{"image": "a.jpg", "caption": "a dog"}}'
                )
            yield line, row


def _grouped(path: Path, rows: Iterable[NumberedRow]) -> tuple[CaptionedImage, ...]:
    captions: dict[str, list[Caption]] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, row in rows:
        uri, caption = normal_uri(_text(path, line, row, "image")), _text(path, line, row, "caption")
        if (earlier := lines.setdefault((uri, caption), line)) != line:
            raise DataError(f"{path}, line {line}: the same image and caption as in line {earlier}; keep one of them")
        payload = {name: value for name, value in row.items() if name not in _COLUMNS}
        captions.setdefault(uri, []).append(Caption(caption, f"line {line}", payload))
    return tuple(CaptionedImage((uri,), tuple(group), group[0].place) for uri, group in captions.items())


def _text(path: Path, line: int, row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        found = "missing" if name not in row else f"{value!r:.40}"
        raise DataError(f"{path}, line {line}: {name} is {found}; it has to be a text")
    if name == "image" and not value.strip():
        raise DataError(f"{path}, line {line}: image is empty; name the picture that the caption is of")
    return value
