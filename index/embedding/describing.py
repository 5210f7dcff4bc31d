"""What an image is described with while it is embedded: a description that was given, or one made here and now."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL.Image import Image

from index.known import Digest
from index.sources.records import SourceRecord
from model.descriptions import Describer, Subject
from model.errors import InvalidInput
from model.preprocess import clean_text


class Words(NamedTuple):
    """The description of an image; None where it is missing, and `stale` where that is since its file has changed."""

    text: str | None
    stale: bool = False


def given_words(record: SourceRecord, fingerprint: Digest | None) -> Words:
    """The description that came with a record, of a file with these bytes; None: the bytes are not at hand."""
    given = record.description
    if given is None:
        return Words(None)
    if fingerprint is not None and fingerprint != given.image_sha256:
        return Words(None, stale=True)
    return Words(_usable(given.text))


def made_words(describer: Describer, uris: Sequence[str], views: Sequence[Image]) -> list[Words]:
    """A description of each image, all in one call; what is rejected is missing."""
    subjects = [Subject(uri, view) for uri, view in zip(uris, views, strict=True)]
    answers = describer.describe(subjects) if subjects else []
    return [
        Words(_usable(answer) if isinstance(answer, str) else None) for _, answer in zip(subjects, answers, strict=True)
    ]


def view_of(image: Image, describer: Describer) -> Image:
    """An image that waits for its batch without megapixels that its describer does not look at."""
    factor = min(image.size) // (2 * describer.at_least)
    return image.reduce(factor) if factor > 1 else image


def _usable(text: str) -> str | None:
    """The description as it is embedded and stored; None where nothing is left of it or it is far too long."""
    try:
        return clean_text(text)
    except InvalidInput:
        return None
