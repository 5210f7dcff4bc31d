"""Embeddings that an earlier version holds already, found by what was embedded."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.items import Embeddings, Modality
from index.pending import PendingRows

_BATCH_ROWS = 4096

Digest = bytes  # `image_digest` of an image, `text_digest` of a caption


class Known(Protocol):
    """What an earlier version of the index knows; called from several threads at once.

    Attributes:
        model_id: the model of its embeddings and how it was used, `IndexedModel.embedding_key`; of another one none
            is used.
        key: changes whenever an answer may; an interrupted run is gone on with only under the same key.
    """

    model_id: str
    key: str

    def __call__(self, modality: Modality, digests: Sequence[Digest]) -> tuple[NDArray[np.bool_], Embeddings]:
        """Which of the n digests are known [n], and the embeddings of those [m, D], in their order."""


class KnownRows:
    """Knows the rows of an earlier version; 16 bytes of memory a row beside vectors that stay on disk."""

    def __init__(self, model_id: str, key: str, rows: Mapping[Modality, PendingRows]) -> None:
        """`key`: what names the version for ever, such as its id."""
        self.model_id, self.key = model_id, key
        self._rows = rows
        self._sorted = {modality: _sorted_digests(modality, of.metadata) for modality, of in rows.items()}

    def __call__(self, modality: Modality, digests: Sequence[Digest]) -> tuple[NDArray[np.bool_], Embeddings]:
        found, rows = np.zeros(len(digests), np.bool_), []
        for at, digest in enumerate(digests):
            if (row := self._row(modality, digest)) is not None:
                found[at] = True
                rows.append(row)
        if not rows:
            return found, np.empty((0, 0), np.float32)
        return found, np.array(self._rows[modality].vectors[rows], np.float32)

    def _row(self, modality: Modality, digest: Digest) -> int | None:
        if modality not in self._sorted:
            return None
        heads, order = self._sorted[modality]
        head = np.uint64(_head(digest))
        for at in range(int(np.searchsorted(heads, head)), len(heads)):
            if heads[at] != head:
                break
            if _digest_of(modality, self._rows[modality].metadata, int(order[at])) == digest:
                return int(order[at])
        return None


class KnownParts:
    """Knows the rows of several parts; the first that has a digest answers."""

    def __init__(self, model_id: str, parts: Sequence[KnownRows]) -> None:
        self.model_id = model_id
        self.key = ",".join(part.key for part in parts)
        self._parts = parts

    def __call__(self, modality: Modality, digests: Sequence[Digest]) -> tuple[NDArray[np.bool_], Embeddings]:
        found = np.zeros(len(digests), np.bool_)
        vectors: dict[int, NDArray[np.float32]] = {}
        for part in self._parts:
            missing = np.flatnonzero(~found)
            here, embeddings = part(modality, [digests[at] for at in missing.tolist()])
            vectors |= dict(zip(missing[here].tolist(), embeddings, strict=True))
            found[missing[here]] = True
        if not vectors:
            return found, np.empty((0, 0), np.float32)
        return found, np.stack([vectors[at] for at in sorted(vectors)])


def image_digest(fingerprint: Digest, description: str | None) -> Digest:
    """What an image is known by: the bytes of its file, and the description that it was embedded with, if any.

    So an image whose description has changed is not known, and models without semantics know images by their bytes.
    """
    return fingerprint if description is None else hashlib.sha256(fingerprint + description.encode()).digest()


def text_digest(text: str) -> Digest:
    """What a caption is known by."""
    return hashlib.sha256(text.encode()).digest()


def _head(digest: Digest) -> int:
    return int.from_bytes(digest[:8], "little")


def _sorted_digests(modality: Modality, table: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The first eight bytes of all digests in their order, and the rows that they belong to."""
    heads = np.zeros(len(table), np.uint64)
    start = 0
    for batch in table.select(_COLUMNS[modality]).to_batches(max_chunksize=_BATCH_ROWS):
        cells = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        heads[start : start + len(batch)] = [_head(_DIGEST_OF[modality](*row) or b"") for row in cells]
        start += len(batch)
    order = np.argsort(heads, kind="stable")
    return heads[order], order


def _digest_of(modality: Modality, table: pa.Table, row: int) -> Digest | None:
    return _DIGEST_OF[modality](*(table.column(name)[row].as_py() for name in _COLUMNS[modality]))


def _image_digest(fingerprint: Digest | None, description: str | None) -> Digest | None:
    return None if fingerprint is None else image_digest(fingerprint, description)


def _caption_digest(text: str | None) -> Digest | None:
    return None if text is None else text_digest(text)


_COLUMNS = {Modality.IMAGE: ["fingerprint", "description"], Modality.TEXT: ["caption"]}
_DIGEST_OF: Mapping[Modality, Callable[..., Digest | None]] = {
    Modality.IMAGE: _image_digest,
    Modality.TEXT: _caption_digest,
}
