"""From the results of a shard's batches to the rows of an index."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from index.embedding.batches import ImageResult, Outcome, TextResult
from index.embedding.plan import Shard
from index.items import Embeddings, Modality, text_item_id
from index.metadata import SCHEMA
from index.payload import dump_payload
from index.rejects import Reject
from index.sources.records import Caption, SourceRecord
from model.errors import InvalidInput


@dataclass(frozen=True)
class ShardRows:
    """All rows of a shard in the order of its records, and why others have none.

    `left_out` counts captions of rejected images, `stale` images whose file has changed since it was described.
    `stamps` is a digest of what the image files were.
    """

    vectors: Mapping[Modality, Embeddings]
    metadata: Mapping[Modality, pa.Table]
    rejects: Sequence[Reject]
    rejected_images: int
    left_out: int
    stale: int
    stamps: str


class _Rows:
    """Rows of one modality as they are collected."""

    def __init__(self) -> None:
        self.vectors: list[Outcome] = []
        self.columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}

    def add(self, vector: Outcome, **cells: Any) -> None:
        self.vectors.append(vector)
        for name, cell in cells.items():
            self.columns[name].append(cell)

    def stacked(self, dimension: int) -> Embeddings:
        if not self.vectors:
            return np.empty((0, dimension), np.float32)
        return np.stack([np.asarray(vector, np.float32) for vector in self.vectors])

    def table(self) -> pa.Table:
        return pa.table(self.columns, schema=SCHEMA)


def shard_rows(
    shard: Shard, images: Sequence[ImageResult], captions: Sequence[TextResult], dimension: int
) -> ShardRows:
    """Put the results, in the order of the shard's records and captions, into rows."""
    rows = {modality: _Rows() for modality in Modality}
    image_rejects: list[Reject] = []
    text_rejects: list[Reject] = []
    left_out = stale = start = 0
    for record, image in zip(shard.records, images, strict=True):
        own = captions[start : start + len(record.captions)]
        start += len(record.captions)
        if isinstance(image.outcome, InvalidInput):
            image_rejects.append(Reject.of_error(record.uri, image.outcome))
            left_out += len(own)
            continue
        stale += image.words.stale
        first = _add_captions(rows[Modality.TEXT], record, own, text_rejects)
        rows[Modality.IMAGE].add(
            image.outcome,
            id=record.id,
            image_id=record.id,
            uri=record.uri,
            caption=first,
            payload=dump_payload(dict(record.payload)),
            fingerprint=image.fingerprint,
            description=image.words.text,
        )
    return ShardRows(
        vectors={modality: of.stacked(dimension) for modality, of in rows.items()},
        metadata={modality: of.table() for modality, of in rows.items()},
        rejects=[*image_rejects, *text_rejects],
        rejected_images=len(image_rejects),
        left_out=left_out,
        stale=stale,
        stamps=stamps_digest([image.stamp for image in images]),
    )


def stamps_digest(stamps: Sequence[tuple[int, ...]]) -> str:
    """One digest for the stamps of all images of a shard."""
    return hashlib.sha256(repr(list(stamps)).encode()).hexdigest()


def _add_captions(
    rows: _Rows, record: SourceRecord, results: Sequence[TextResult], rejects: list[Reject]
) -> str | None:
    """Add a row for each caption that has an embedding; returns the first of them."""
    times: Counter[str] = Counter()
    first: str | None = None
    for caption, (outcome, text) in zip(record.captions, results, strict=True):
        ordinal = times[text]
        times[text] += 1
        if isinstance(outcome, InvalidInput):
            rejects.append(_reject(record, caption, outcome))
            continue
        first = first or text
        rows.add(
            outcome,
            id=text_item_id(record.uri, text, ordinal),
            image_id=record.id,
            uri=record.uri,
            caption=text,
            payload=dump_payload(dict(caption.payload)),
            fingerprint=None,
            description=None,
        )
    return first


def _reject(record: SourceRecord, caption: Caption, error: InvalidInput) -> Reject:
    return Reject(record.uri, error.code, f"{caption.place}: {error}")
