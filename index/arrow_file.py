"""Arrow IPC files, written batch by batch and read through a memory map, with what is damaged refused."""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from model.errors import ArtifactCorrupt, ArtifactMissing

BATCH_ROWS = 65_536


@contextmanager
def corrupt_unless_readable(path: Path) -> Iterator[None]:
    """What Arrow and numpy say of a damaged file becomes ArtifactCorrupt; faults of the machine stay OSErrors."""
    try:
        yield
    except FileNotFoundError as error:
        raise ArtifactMissing(f"{path.name} of the index is missing; rebuild the index") from error
    except (pa.ArrowException, ValueError, IndexError, EOFError, RecursionError) as error:
        raise _corrupt(path, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _corrupt(path, error) from error


class ArrowFile:
    """The record batches of a file, memory-mapped: what is read, and what lies beside it, becomes resident."""

    def __init__(self, mapped: mmap.mmap, batches: list[pa.RecordBatch]) -> None:
        self._mapped = mapped
        self.batches = batches

    @classmethod
    def open(cls, path: Path, schema: pa.Schema, added: Sequence[str] = ()) -> "ArrowFile":
        """Raises ArtifactMissing, ArtifactCorrupt and OSError.

        A file from before the last columns, those `added`, were written is read with nulls in them.

        Every access to a batch stays within its buffers; texts are not checked to be UTF-8.
        """
        with corrupt_unless_readable(path), path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
            earlier = pa.schema([field for field in schema if field.name not in added])
            if not (reader.schema.equals(schema) or reader.schema.equals(earlier)):
                raise ValueError(f"it has the columns {reader.schema.names}, not {schema.names}")
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            for batch in batches:
                batch.validate()
                _check_columns(batch)
            if not reader.schema.equals(schema):
                batches = _completed(batches, schema)
        opened = cls(mapped, batches)
        opened.release()
        return opened

    @property
    def bytes(self) -> int:
        """Size of the file: all that can be resident."""
        return len(self._mapped)

    def release(self) -> None:
        """Let go of the pages in memory; whatever is read again comes from the page cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)


def _completed(batches: list[pa.RecordBatch], schema: pa.Schema) -> list[pa.RecordBatch]:
    """Batches [n] with columns of nulls for those that they lack; batches of one length share them in memory."""

    @cache
    def nulls(field: pa.Field, length: int) -> pa.Array:
        return pa.nulls(length, field.type)

    return [
        pa.record_batch(
            [batch[field.name] if field.name in batch.schema.names else nulls(field, len(batch)) for field in schema],
            schema=schema,
        )
        for batch in batches
    ]


def _check_columns(batch: pa.RecordBatch) -> None:
    """What `validate` leaves out because it takes a look at every row: nulls, and offsets that fall or are outside."""
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if not field.nullable and column.null_count:
            raise ValueError(f"its column {field.name} has nulls")
        if pa.types.is_string(field.type) and len(column):
            _, offsets_buffer, data = column.buffers()
            offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset : column.offset + len(column) + 1]
            inside = offsets[0] >= 0 and offsets[-1] <= (0 if data is None else data.size)
            if not inside or not np.all(offsets[1:] >= offsets[:-1]):
                raise ValueError(f"its column {field.name} has texts outside of it")


def _corrupt(path: Path, error: Exception) -> ArtifactCorrupt:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ArtifactCorrupt(f"{path.name} of the index is damaged ({reason:.120}); rebuild the index")
