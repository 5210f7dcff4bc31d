"""One batch of images or captions to embeddings; what is wrong with one item costs no other."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from index.embedding.describing import Words, given_words, made_words, view_of
from index.embedding.encoder import Encoder, Pixels
from index.items import Embeddings, Modality
from index.known import Digest, Known, image_digest, text_digest
from index.sources.faults import is_machine_fault, machine_fault
from index.sources.images import ImageReader, Stamp
from index.sources.records import RegionFeatures, SourceRecord
from model.descriptions import Describer
from model.errors import InvalidInput, UnreadableImage
from model.preprocess import clean_text, decode_image

Embedding = NDArray[np.float32]  # [D]
Outcome = Embedding | InvalidInput  # or why there is none

Item = TypeVar("Item")


class ImageResult(NamedTuple):
    """What became of one image, what its file was, and what it was described with."""

    outcome: Outcome
    fingerprint: Digest | None
    stamp: Stamp
    words: Words = Words(None)


class _Pending(NamedTuple):
    """An image that is to be encoded; `view` is what a describer is to see of it, where there is one."""

    at: int
    pixels: Pixels
    fingerprint: Digest
    stamp: Stamp
    words: Words
    view: Image | None


class TextResult(NamedTuple):
    """What became of one caption, and its text as it was embedded."""

    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Embedder:
    """Everything that a batch needs; used by several threads at once.

    With a `describer`, images are described by it, all of a batch together, else as their records say. It comes before
    what is known: that an image is known says nothing of who described it then, so each is described anew.
    """

    encoder: Encoder
    reader: ImageReader
    regions: RegionFeatures | None = None
    known: Known | None = None
    describer: Describer | None = None

    def images(self, records: Sequence[SourceRecord]) -> list[ImageResult]:
        """Read, decode and encode the files of some records.

        Raises DataError where the machine fails and not the file.
        """
        prepared = [self._prepared(at, record) for at, record in enumerate(records)]
        pending = [each for each in prepared if isinstance(each, _Pending)]
        if self.describer is not None:
            uris = [records[each.at].uri for each in pending]
            views = [each.view for each in pending if each.view is not None]
            words = made_words(self.describer, uris, views)
            pending = [each._replace(words=own, view=None) for each, own in zip(pending, words, strict=True)]

        def encode(items: Sequence[int]) -> Embeddings:
            chosen = [pending[item] for item in items]
            return self.encoder.images([each.pixels for each in chosen], [each.words.text for each in chosen])

        digests = [image_digest(each.fingerprint, each.words.text) for each in pending]
        outcomes = self._unless_known(Modality.IMAGE, digests, encode, self.encoder.image_chunk)
        results = {
            each.at: ImageResult(outcome, each.fingerprint, each.stamp, each.words)
            for each, outcome in zip(pending, outcomes, strict=True)
        }
        return [each if isinstance(each, ImageResult) else results[each.at] for each in prepared]

    def region_images(self, rows: range, records: Sequence[SourceRecord]) -> list[ImageResult]:
        """Encode the regions of some rows of the source, which are of these records.

        No image file is read: descriptions are taken as they were given.
        """
        source = self.regions
        assert source is not None
        values, whole = source.regions.of(slice(rows.start, rows.stop)), source.global_features[rows.start : rows.stop]
        prints = [hashlib.sha256(values[at].tobytes() + whole[at].tobytes()).digest() for at in range(len(rows))]
        words = [given_words(record, None) for record in records]
        digests = [image_digest(one, own.text) for one, own in zip(prints, words, strict=True)]

        def encode(items: Sequence[int]) -> Embeddings:
            return self.encoder.regions(values[items], whole[items], [words[item].text for item in items])

        outcomes = self._unless_known(Modality.IMAGE, digests, encode, self.encoder.image_chunk)
        found = zip(outcomes, prints, words, strict=True)
        return [ImageResult(outcome, fingerprint, (), own) for outcome, fingerprint, own in found]

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

    def _prepared(self, at: int, record: SourceRecord) -> ImageResult | _Pending:
        """The pixels of an image file, or its result where it cannot be used or is known."""
        uri = record.uri
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
        words = given_words(record, fingerprint)
        if self.known is not None and self.describer is None:
            found, vectors = self.known(Modality.IMAGE, [image_digest(fingerprint, words.text)])
            if found[0]:
                return ImageResult(vectors[0], fingerprint, stamp, words)
        try:
            pixels, view = self._decoded(data)
            return _Pending(at, pixels, fingerprint, stamp, words, view)
        except InvalidInput as error:
            if error.__cause__ is not None and isinstance(error.__cause__, MemoryError):
                raise machine_fault(self.reader.root / uri, error.__cause__) from error
            return ImageResult(error, fingerprint, stamp)

    def _decoded(self, data: bytes) -> tuple[Pixels, Image | None]:
        """What the encoder takes of an image, and what its describer does; raises UnreadableImage and ImageTooLarge."""
        if self.describer is None:
            return self.encoder.prepare(decode_image(data, at_least=self.encoder.image_size)), None
        image = decode_image(data, at_least=max(self.encoder.image_size, self.describer.at_least))
        return self.encoder.prepare(image), view_of(image, self.describer)

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
