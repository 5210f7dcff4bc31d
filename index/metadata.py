"""Metadata of the rows of a segment, in columns that stay on disk: Arrow, memory-mapped.

An item becomes a Python object only when it is a hit. The files of a directory: `metadata.arrow` with the columns of
SCHEMA, `ids.arrow` and `image_ids.arrow` from an id to its rows, and the columns of the payloads for filters.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.arrow_file import BATCH_ROWS, ArrowFile, corrupt_unless_readable
from index.digests import DigestIndex, Digests, digest_texts, write_digests
from index.filters import Condition, Filter
from index.filters.mask import Mask, filter_mask
from index.items import Item, Modality, Rows
from index.payload_columns import PATHS_FILE, VALUE_FILES, Kind, PayloadColumns, write_payload_columns
from index.text_cells import TextCells
from model.errors import DataError

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        # Of a caption the id of its image, of an image its own: what is deleted or replaced together.
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("payload", pa.string(), nullable=False),  # a JSON object
        # SHA-256 of the image file's bytes (of a caption: null): equal, and the image need not be embedded again.
        pa.field("fingerprint", pa.binary(32)),
        # What an image was embedded with, by a model that fuses semantics.
        pa.field("description", pa.string()),
    ]
)

# Columns that segments of earlier versions lack.
_ADDED = ("description",)

_TABLE_FILE = "metadata.arrow"
_TABLE = Path(_TABLE_FILE)
_IDS_FILE = "ids.arrow"
_IMAGE_IDS_FILE = "image_ids.arrow"
METADATA_FILES = (_TABLE_FILE, _IDS_FILE, _IMAGE_IDS_FILE, PATHS_FILE, *VALUE_FILES.values())

# Those of which single cells are read: of a hit all but the second.
_CELLS = ("id", "image_id", "uri", "caption", "payload", "description")
# Linux maps the 64 KiB around what is read: offsets and values of five columns.
_BYTES_TOUCHED = 10 * 64 * 1024
_RESIDENT_A_ROW = 100
_RESIDENT = 64 * 2**20

# Arrow makes Python objects of a whole batch without letting another thread run.
_PYTHON_ROWS = 2048


def write_metadata(directory: Path, table: pa.Table) -> None:
    """Write METADATA_FILES into a directory that exists, for Metadata.open; memory is bounded but for 16 bytes a row.

    Raises DataError for other columns than SCHEMA's, for nulls where it has none, for a payload that is not within the
    limits of `check_payload` and for an id that is given twice; and OSError.
    """
    if not table.schema.equals(SCHEMA):
        raise DataError(f"metadata has the columns {table.schema.names}: they must be {SCHEMA.names}, of their types")
    for field in SCHEMA:
        if not field.nullable and table[field.name].null_count:
            raise DataError(f"metadata has a row without {field.name}: give every row one")
    with pa.ipc.new_file(str(directory / _TABLE_FILE), SCHEMA) as file:
        file.write_table(table, max_chunksize=BATCH_ROWS)
    ids = _digests(table, "id")
    _refuse_duplicates(table, ids)
    write_digests(directory / _IDS_FILE, ids)
    write_digests(directory / _IMAGE_IDS_FILE, _digests(table, "image_id"))
    write_payload_columns(directory, _texts(table, "payload"))


class Metadata:
    """The metadata of N rows, memory-mapped; every method may be called from many threads at once."""

    def __init__(self, file: ArrowFile, ids: DigestIndex, image_ids: DigestIndex, payloads: PayloadColumns) -> None:
        self._file = file
        self._batches = file.batches
        self._starts: list[int] = np.cumsum([0, *(len(batch) for batch in file.batches)]).tolist()
        self._cells = [{name: TextCells(batch.column(name)) for name in _CELLS} for batch in file.batches]
        self._touched = 0
        # All that can be resident, and how much of it may be.
        self._bytes = file.bytes + payloads.bytes
        self._bytes_kept = max(_RESIDENT, _RESIDENT_A_ROW * self._starts[-1])
        self._ids = ids
        self._image_ids = image_ids
        self._payloads = payloads

    @classmethod
    def open(cls, directory: Path) -> "Metadata":
        """Map what `write_metadata` wrote; raises ArtifactMissing, ArtifactCorrupt and OSError."""
        file = ArrowFile.open(directory / _TABLE_FILE, SCHEMA, _ADDED)
        size = sum(len(batch) for batch in file.batches)
        return cls(
            file,
            DigestIndex.open(directory / _IDS_FILE, size),
            DigestIndex.open(directory / _IMAGE_IDS_FILE, size),
            PayloadColumns.open(directory, size),
        )

    @property
    def size(self) -> int:
        """Number of rows N."""
        return self._starts[-1]

    @property
    def columns(self) -> pa.Table:
        """The columns of SCHEMA, still on disk."""
        return pa.Table.from_batches(self._batches, SCHEMA)

    def item(self, row: int, modality: Modality) -> Item:
        """The item of a row; raises IndexError beyond N, and ArtifactCorrupt."""
        cells, place = self._place(row)
        with _readable():
            return Item(
                _given(cells["id"][place]),
                modality,
                _given(cells["uri"][place]),
                cells["caption"][place],
                _parsed(_given(cells["payload"][place])),
                cells["description"][place],
            )

    def items(self, rows: Rows, modality: Modality) -> list[Item]:
        """The items of rows, in their order."""
        return [self.item(int(row), modality) for row in rows]

    def ids(self, rows: Rows) -> list[str]:
        """The ids of rows, in their order; raises IndexError beyond N, and ArtifactCorrupt."""
        return [self._text(row, "id") for row in rows.tolist()]

    def row_of(self, item_id: str) -> int | None:
        """The row of an id; None where there is none."""
        rows = self._rows_with(self._ids, "id", item_id)
        return int(rows[0]) if len(rows) else None

    def rows_of(self, ids: list[str]) -> Rows:
        """For each of n ids its row, -1 where there is none: [n]."""
        rows = self._ids.first_rows(ids)
        found = np.flatnonzero(rows >= 0)
        for place, item_id in zip(found, self.ids(rows[found]), strict=True):
            if item_id != ids[place]:  # Another id has the same digest.
                row = self.row_of(ids[place])
                rows[place] = -1 if row is None else row
        return rows

    def rows_of_image(self, image_id: str) -> Rows:
        """The rows of an image, or of its captions, rising."""
        return self._rows_with(self._image_ids, "image_id", image_id)

    def fingerprints(self) -> pa.ChunkedArray:
        """The column of fingerprints [N]: 32 bytes or null, still on disk."""
        return pa.chunked_array([batch.column("fingerprint") for batch in self._batches], pa.binary(32))

    def mask(self, filter: Filter) -> Mask:
        """Whether the filter holds for each row [N]."""
        with _readable():
            mask = filter_mask(filter, self)
        self._touch(self.size)
        return mask

    def table(self, rows: Rows) -> pa.Table:
        """The columns of SCHEMA of rows, in their order, copied; raises IndexError beyond N."""
        return self._take(rows, SCHEMA.names)

    def values(self, condition: Condition) -> Iterator[tuple[Kind, slice | NDArray[np.uint32], pa.Array]]:
        """The values at the key of a condition, a batch at a time, with their kind and rows."""
        if condition.path is not None:
            yield from self._payloads.at(condition.path)
            return
        for start, batch in zip(self._starts, self._batches, strict=False):
            yield Kind.TEXT, slice(start, start + len(batch)), batch.column(condition.key)

    def _rows_with(self, index: DigestIndex, column: str, text: str) -> Rows:
        rows = index.rows(text)
        return rows[[self._text(row, column) == text for row in rows.tolist()]] if len(rows) else rows

    def _text(self, row: int, column: str) -> str:
        cells, place = self._place(row)
        with _readable():
            return _given(cells[column][place])

    def _place(self, row: int) -> tuple[dict[str, TextCells], int]:
        if not 0 <= row < self.size:
            raise IndexError(f"row {row} of {self.size}")
        self._touch(1)
        number = bisect_right(self._starts, row) - 1
        return self._cells[number], row - self._starts[number]

    def _touch(self, rows: int) -> None:
        """Keep what is resident small beside the vectors: pages come in with each row and would never leave."""
        self._touched += rows
        if min(self._touched * _BYTES_TOUCHED, self._bytes) > self._bytes_kept:
            self._touched = 0
            self._file.release()
            self._payloads.release()

    def _take(self, rows: Rows, columns: list[str]) -> pa.Table:
        """Rows batch by batch, put into their order at the end: so that nothing joins whole columns."""
        rows = np.asarray(rows, np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.size:
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self.size}")
        self._touch(len(rows))
        order = np.argsort(rows, kind="stable")
        rising = rows[order]
        cuts = np.searchsorted(rising, self._starts)
        schema = pa.schema([SCHEMA.field(name) for name in columns])
        taken = [
            batch.select(columns).take(pa.array(rising[low:high] - start))
            for batch, start, low, high in zip(self._batches, self._starts, cuts, cuts[1:], strict=False)
            if low < high
        ]
        table = pa.Table.from_batches(taken, schema)
        return table if np.array_equal(rising, rows) else table.take(pa.array(np.argsort(order, kind="stable")))


def _given(text: str | None) -> str:
    if text is None:
        raise ValueError("a text that every row must have is missing")
    return text


def _parsed(payload: str) -> dict[str, Any]:
    value = json.loads(payload)
    if not isinstance(value, dict):
        raise ValueError("a payload is not a JSON object")
    return value


def _readable() -> AbstractContextManager[None]:
    return corrupt_unless_readable(_TABLE)


def _digests(table: pa.Table, column: str) -> Digests:
    return digest_texts(_texts(table, column))


def _texts(table: pa.Table, column: str) -> Iterator[str]:
    for batch in table.select([column]).to_batches(max_chunksize=_PYTHON_ROWS):
        yield from batch.column(0).to_pylist()


def _refuse_duplicates(table: pa.Table, digests: Digests) -> None:
    """Raise DataError where two rows have one id; only those with equal digests are looked at."""
    ordered = np.argsort(digests, kind="stable")
    alike = np.flatnonzero(digests[ordered[1:]] == digests[ordered[:-1]])
    seen: set[str] = set()
    for row in np.unique(np.concatenate([ordered[alike], ordered[alike + 1]])):
        item_id = table["id"][int(row)].as_py()
        if item_id in seen:
            raise DataError(f"the id {item_id!r:.80} is given to two items: give each its own")
        seen.add(item_id)
