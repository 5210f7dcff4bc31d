"""One batch of images or captions to embeddings; what is wrong with one item costs no other."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from index.embedding.encoder import Encoder, Pixels
from index.items import Embeddings, Modality
from index.known import Digest, Known, text_digest
from index.sources.faults import is_machine_fault, machine_fault
from index.sources.images import ImageReader, Stamp
from index.sources.records import RegionFeatures, SourceRecord
from model.errors import InvalidInput, UnreadableImage
from model.preprocess import clean_text, decode_image

Embedding = NDArray[np.float32]  # [D]
Outcome = Embedding | InvalidInput  # or why there is none

Item = TypeVar("Item")


class ImageResult(NamedTuple):
    """What became of one image, and what its file was."""

    outcome: Outcome
    fingerprint: Digest | None
    stamp: Stamp


class TextResult(NamedTuple):
    """What became of one caption, and its text as it was embedded."""

    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Embedder:
    """Everything that a batch needs; used by several threads at once."""

    encoder: Encoder
    reader: ImageReader
    regions: RegionFeatures | None = None
    known: Known | None = None

    def images(self, records: Sequence[SourceRecord]) -> list[ImageResult]:
        """Read, decode and encode the files of some records.

        Raises DataError where the machine fails and not the file.
        """
        results: list[ImageResult | None] = [None] * len(records)
        pending: list[tuple[int, Pixels, Digest, Stamp]] = []
        for at, record in enumerate(records):
            read = self._prepared(record.uri)
            if isinstance(read, ImageResult):
                results[at] = read
            else:
                pending.append((at, *read))
        outcomes = in_chunks(self.encoder.images, [item[1] for item in pending], self.encoder.image_chunk)
        for (at, _, fingerprint, stamp), outcome in zip(pending, outcomes, strict=True):
            results[at] = ImageResult(outcome, fingerprint, stamp)
        return [result for result in results if result is not None]

    def region_images(self, rows: range) -> list[ImageResult]:
        """Encode the regions of some rows of the source."""
        source = self.regions
        assert source is not None
        values, whole = source.regions.of(slice(rows.start, rows.stop)), source.global_features[rows.start : rows.stop]
        digests = [hashlib.sha256(values[at].tobytes() + whole[at].tobytes()).digest() for at in range(len(rows))]

        def encode(items: Sequence[int]) -> Embeddings:
            return self.encoder.regions(values[items], whole[items])

        outcomes = self._unless_known(Modality.IMAGE, digests, encode, self.encoder.image_chunk)
        return [ImageResult(outcome, digest, ()) for outcome, digest in zip(outcomes, digests, strict=True)]

    def captions(self, texts: Sequence[str]) -> list[TextResult]:
        """Clean, tokenise and encode captions."""
        cleaned = [_cleaned(text) for text in texts]
        sound = [text for text in cleaned if isinstance(text, str)]
        digests = [text_digest(text) for text in sound] if self.known else [b""] * len(sound)

        def encode(items: Sequence[int]) -> Embeddings:
            return self.encoder.texts([sound[at] for at in items])

        outcomes = iter(self._unless_known(Modality.TEXT, digests, encode, max(1, len(sound))))
        return [
            TextResult(text, "") if isinstance(text, InvalidInput) else TextResult(next(outcomes), text)
            for text in cleaned
        ]

    def stamp(self, uri: str) -> Stamp:
        """The stamp of an image file; of one that cannot be read the number of the error."""
        try:
            return self.reader.stamp(uri)
        except OSError as error:
            return (error.errno or 0,)
        except InvalidInput:
            return ()

    def _prepared(self, uri: str) -> ImageResult | tuple[Pixels, Digest, Stamp]:
        """The pixels of an image file, or its result where it cannot be used or is known."""
        try:
            data, stamp = self.reader.read(uri)
        except InvalidInput as error:
            return ImageResult(error, None, self.stamp(uri))
        except OSError as error:
            if is_machine_fault(error, self.reader.root):
                raise machine_fault(self.reader.root / uri, error) from error
            reason = (error.strerror or str(error)).lower()
            return ImageResult(UnreadableImage(f"the file cannot be read: {reason}"), None, self.stamp(uri))
        fingerprint = hashlib.sha256(data).digest()
        if self.known is not None:
            found, vectors = self.known(Modality.IMAGE, [fingerprint])
            if found[0]:
                return ImageResult(vectors[0], fingerprint, stamp)
        try:
            return self.encoder.prepare(decode_image(data, at_least=self.encoder.image_size)), fingerprint, stamp
        except InvalidInput as error:
            if error.__cause__ is not None and isinstance(error.__cause__, MemoryError):
                raise machine_fault(self.reader.root / uri, error.__cause__) from error
            return ImageResult(error, fingerprint, stamp)

    def _unless_known(
        self, modality: Modality, digests: Sequence[Digest], encode: Callable[[Sequence[int]], Embeddings], chunk: int
    ) -> list[Outcome]:
        """Encode the items, given as numbers, whose digests are not known."""
        outcomes: list[Outcome | None] = [None] * len(digests)
        if self.known is not None and digests:
            found, vectors = self.known(modality, digests)
            for at, vector in zip(np.flatnonzero(found).tolist(), vectors, strict=True):
                outcomes[at] = vector
        missing = [at for at, outcome in enumerate(outcomes) if outcome is None]
        for at, outcome in zip(missing, in_chunks(encode, missing, chunk), strict=True):
            outcomes[at] = outcome
        return [outcome for outcome in outcomes if outcome is not None]


def in_chunks(encode: Callable[[Sequence[Item]], Embeddings], items: Sequence[Item], size: int) -> list[Outcome]:
    """Encode items in chunks of `size`, one of which at most is smaller."""
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    return [outcome for chunk in chunks for outcome in isolated(encode, chunk)]


def isolated(encode: Callable[[Sequence[Item]], Embeddings], items: Sequence[Item]) -> list[Outcome]:
    """Encode a batch [n] to embeddings [n, D]; where it is refused, one by one, so that one item costs no other."""
    if not items:
        return []
    try:
        return list(encode(items))
    except InvalidInput as error:
        if len(items) == 1:
            return [error]
        return [outcome for item in items for outcome in isolated(encode, [item])]


def _cleaned(text: str) -> str | InvalidInput:
    try:
        return clean_text(text)
    except InvalidInput as error:
        return error
