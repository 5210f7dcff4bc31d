"""From a text to the rows that have it: 64-bit digests, sorted, searched on disk."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.arrow_file import corrupt_unless_readable
from index.items import Rows
from model.errors import ArtifactCorrupt

Digests = NDArray[np.uint64]


class DigestIndex:
    """Sorted digests [N] and their rows [N], memory-mapped: of one digest the rows rise.

    Two texts may share a digest: whoever asks compares the texts of the rows.
    """

    def __init__(self, digests: Digests, rows: Digests) -> None:
        self._digests = digests
        self._rows = rows

    @classmethod
    def open(cls, path: Path, size: int) -> "DigestIndex":
        """Raises ArtifactMissing, and ArtifactCorrupt unless the file holds the digests of `size` rows."""
        with corrupt_unless_readable(path):
            table = np.lib.format.open_memmap(path, mode="r")
            if table.shape != (2, size) or table.dtype != np.dtype("<u8") or not table.flags.c_contiguous:
                raise ValueError(f"it has {table.dtype} of shape {table.shape}, not uint64 of shape {(2, size)}")
            return cls(np.asarray(table[0]), np.asarray(table[1]))

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

    def _checked(self, rows: Digests) -> Rows:
        if len(rows) and rows.max() >= len(self._rows):
            raise ArtifactCorrupt("the index of ids names rows that are not there; rebuild the index")
        return rows.astype(np.int64)


def write_digests(path: Path, digests: Digests) -> None:
    """Write the digests of rows 0 … N - 1 for DigestIndex; raises OSError."""
    order = np.argsort(digests, kind="stable")
    np.save(path, np.stack([digests[order], order.astype(np.uint64)]).astype("<u8"), allow_pickle=False)


def digest_texts(texts: Iterable[str]) -> Digests:
    """The 64-bit BLAKE2b digest of each text [n]."""
    return np.fromiter((_digest(text) for text in texts), np.uint64)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
