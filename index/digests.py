"""From a text to the rows that have it: 64-bit digests, sorted, searched on disk."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.arrow_file import ArrowFile
from index.items import Rows
from model.errors import ArtifactCorrupt

Digests = NDArray[np.uint64]

_SCHEMA = pa.schema([pa.field("digest", pa.uint64(), nullable=False), pa.field("row", pa.uint32(), nullable=False)])


class DigestIndex:
    """Sorted digests [N] and their rows [N], memory-mapped: of one digest the rows rise.

    Two texts may share a digest: whoever asks compares the texts of the rows.
    """

    def __init__(self, digests: Digests, rows: NDArray[np.uint32]) -> None:
        self._digests = digests
        self._rows = rows

    @classmethod
    def open(cls, path: Path, size: int) -> "DigestIndex":
        """Raises ArtifactMissing, and ArtifactCorrupt unless the file holds the digests of `size` rows."""
        batches = ArrowFile.open(path, _SCHEMA).batches
        if [len(batch) for batch in batches] != [size]:
            raise ArtifactCorrupt(f"{path.name} of the index is not of {size} rows; rebuild the index")
        digests, rows = batches[0].columns
        return cls(digests.to_numpy(), rows.to_numpy())

    def rows(self, text: str) -> Rows:
        """The rows whose text may be this one, rising; raises ArtifactCorrupt."""
        digest = np.uint64(_digest(text))
        start, stop = (np.searchsorted(self._digests, digest, side) for side in ("left", "right"))
        return self._checked(self._rows[start:stop])

    def first_rows(self, texts: list[str]) -> Rows:
        """For each of n texts the first row that may have it, -1 where none does: [n]; raises ArtifactCorrupt."""
        digests = digest_texts(texts)
        places = np.minimum(np.searchsorted(self._digests, digests), max(0, len(self._digests) - 1))
        rows = np.full(len(texts), -1, np.int64)
        if len(self._digests):
            found = self._digests[places] == digests
            rows[found] = self._checked(self._rows[places[found]])
        return rows

    def _checked(self, rows: NDArray[np.uint32]) -> Rows:
        if len(rows) and rows.max() >= len(self._rows):
            raise ArtifactCorrupt("the index of ids names rows that are not there; rebuild the index")
        return rows.astype(np.int64)


def write_digests(path: Path, digests: Digests) -> None:
    """Write the digests of rows 0 … N - 1 for DigestIndex; raises OSError."""
    order = np.argsort(digests, kind="stable")
    batch = pa.record_batch([pa.array(digests[order]), pa.array(order.astype(np.uint32))], schema=_SCHEMA)
    with pa.ipc.new_file(str(path), _SCHEMA) as file:
        file.write_batch(batch)


def digest_texts(texts: Iterable[str]) -> Digests:
    """The 64-bit BLAKE2b digest of each text [n]."""
    return np.fromiter((_digest(text) for text in texts), np.uint64)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
