"""The embeddings of a version in Milvus, found by what was embedded."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index.collection.milvus.connection import PAGE_ROWS
from index.collection.milvus.expressions import quoted
from index.collection.milvus.ranking import Rows
from index.items import Embeddings, Modality
from index.known import Digest

# What is read at first, of all rows.
_PAGE_ROWS = 4_000
_HEAD = np.dtype("S16")


class MilvusKnown:
    """Knows the rows of one version, by about 100 bytes of memory each, which are read when they are first asked for.

    To ask Milvus by fingerprint would be a search of all rows where it has no index over them; by primary key it never
    is.
    """

    def __init__(self, model_id: str, key: str, rows: Mapping[Modality, Rows]) -> None:
        """`key`: what names the version for ever."""
        self.model_id, self.key = model_id, key
        self._rows = rows
        self._lock = threading.Lock()
        self._sorted: dict[Modality, tuple[NDArray[np.bytes_], NDArray[np.bytes_]]] = {}

    def __call__(self, modality: Modality, digests: Sequence[Digest]) -> tuple[NDArray[np.bool_], Embeddings]:
        """See `Known`."""
        with self._lock:
            if modality not in self._sorted:
                self._sorted[modality] = _heads(self._rows[modality])
        heads, keys = self._sorted[modality]
        wanted = np.array([_head(digest.hex()) for digest in digests], _HEAD)
        places = np.searchsorted(heads, wanted)
        there = places < len(heads)
        there[there] = heads[places[there]] == wanted[there]
        vectors = self._vectors(modality, [key.decode() for key in keys[places[there]].tolist()])
        found = [vectors.get(digest.hex()) for digest in digests]
        known = [vector for vector in found if vector is not None]
        mask = np.array([vector is not None for vector in found], np.bool_)
        return mask, np.stack(known) if known else np.empty((0, 0), np.float32)

    def _vectors(self, modality: Modality, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of rows, by their fingerprints."""
        vectors: dict[str, NDArray[np.float32]] = {}
        for start in range(0, len(keys), PAGE_ROWS):
            among = f"pk in {quoted(keys[start : start + PAGE_ROWS])}"
            for row in self._rows[modality].query(among, ("pk", "fingerprint", "vector")):
                vectors[row["fingerprint"]] = np.asarray(row["vector"], np.float32)
        return vectors


def _head(fingerprint: str) -> bytes:
    return fingerprint[: _HEAD.itemsize].encode()


def _heads(rows: Rows) -> tuple[NDArray[np.bytes_], NDArray[np.bytes_]]:
    """The sorted beginnings of all fingerprints, and the primary keys of the rows that they belong to."""
    pages = rows.connection.pages(rows.name, rows.visible, ("pk", "fingerprint"), _PAGE_ROWS)
    found = [(_head(row["fingerprint"]), row["pk"].encode()) for page in pages for row in page if row["fingerprint"]]
    heads = np.array([head for head, _ in found], _HEAD)
    keys = np.array([key for _, key in found] or [b""], np.bytes_)
    order = np.argsort(heads, kind="stable")
    return heads[order], keys[order] if found else keys
