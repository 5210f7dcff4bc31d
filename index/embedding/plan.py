"""How a source is cut into shards and batches, and the key of the job: functions of the source and settings alone."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from index.embedding.encoder import Encoder
from index.known import Known
from index.sources.records import Caption, Source, SourceRecord
from model.descriptions import Describer

SHARD_RECORDS = 512
# A shard is also full with this many captions, so that what a worker holds has a bound.
SHARD_CAPTIONS = 8192
IMAGE_BATCH = 16
TEXT_BATCH = 64

# Counted up whenever the same source would give other rows or other files of a shard.
_PLAN = 2


@dataclass(frozen=True)
class Shard:
    """Some records that follow each other; `start` is the row of the first one in the source."""

    number: int
    start: int
    records: Sequence[SourceRecord]

    def captions(self) -> list[Caption]:
        """The captions of all records, in their order."""
        return [caption for record in self.records for caption in record.captions]

    def image_batches(self, size: int) -> list[range]:
        """Records of the shard that are encoded together."""
        return [range(at, min(at + size, len(self.records))) for at in range(0, len(self.records), size)]

    def text_batches(self, size: int) -> list[list[int]]:
        """Captions of the shard that are encoded together: of similar length, so that little padding is computed."""
        captions = self.captions()
        order = sorted(range(len(captions)), key=lambda at: (len(captions[at].text), at))
        return [order[at : at + size] for at in range(0, len(order), size)]


def cut(records: Sequence[SourceRecord], size: int = SHARD_RECORDS) -> Iterator[Shard]:
    """The shards of a source; no record is split."""
    number = start = captions = 0
    for at, record in enumerate(records):
        captions += len(record.captions)
        if at + 1 - start == size or captions >= SHARD_CAPTIONS:
            yield Shard(number, start, records[start : at + 1])
            number, start, captions = number + 1, at + 1, 0
    if start < len(records):
        yield Shard(number, start, records[start:])


def job_key(
    source: Source, encoder: Encoder, known: Known | None, batch: int, size: int, describer: Describer | None = None
) -> str:
    """A digest of everything that the rows of a run follow from, but the bytes of the images.

    Those are held to account by their stamps, shard by shard.
    """
    digest = hashlib.sha256()
    settings = {
        "plan": _PLAN,
        "model": encoder.artifact.manifest.model_id,
        "known": known.key if known else None,
        "describer": [*describer.source, describer.at_least] if describer else None,
        "batch": batch,
        "views": encoder.views,
        "shard": [size, SHARD_CAPTIONS, TEXT_BATCH, encoder.image_chunk, encoder.text_chunk],
        "root": str(source.images_root),
        "regions": source.regions.stamp if source.regions else None,
        # They decide on the last bits of pixels and embeddings.
        "versions": [version("numpy"), version("pillow"), encoder.runtime_version],
    }
    digest.update(json.dumps(settings).encode())
    for record in source.records:
        captions = [(caption.text, caption.place, caption.payload) for caption in record.captions]
        given = record.description
        words = given and (given.text, given.image_sha256.hex())
        line = (record.uri, record.id, record.payload, captions, words)
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()[:16]
