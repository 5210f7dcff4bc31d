"""Captions in the JSON format of Karpathy and Fei-Fei, as the gallery takes them."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from index.captions.records import Caption, CaptionedImage, normal_uri
from model.datasets import karpathy
from model.datasets.karpathy import KarpathyImage, KarpathySentence

# They only repeat what the sentences say.
_REDUNDANT = {"sentids", "tokens"}


def read_karpathy(path: Path) -> tuple[CaptionedImage, ...]:
    """Read a Karpathy JSON file; equal captions of one image are allowed under different sentids.

    Further keys of an image become its payload, further keys of a sentence the payload of its caption where they are
    plain values. Raises DataError as the reader of the format does.
    """
    images = karpathy.read_karpathy(path, KarpathyImage[KarpathySentence]).images
    return tuple(_record(at, image) for at, image in enumerate(images))


def _record(at: int, image: KarpathyImage[KarpathySentence]) -> CaptionedImage:
    place = f"images[{at}]"
    captions = tuple(
        Caption(sentence.raw, f"{place}.sentences[{sentence_at}]", _sentence_payload(sentence))
        for sentence_at, sentence in enumerate(image.sentences)
    )
    uris = tuple(dict.fromkeys([image.uri, normal_uri(image.filename)]))
    return CaptionedImage(uris, captions, place, _extras(image))


def _sentence_payload(sentence: KarpathySentence) -> dict[str, Any]:
    """Plain values only: annotations such as long lists of image ids would be held in memory for every caption."""
    extras = {key: value for key, value in _extras(sentence).items() if not isinstance(value, list | dict)}
    return extras if sentence.sentid is None else {"sentid": sentence.sentid, **extras}


def _extras(record: BaseModel) -> dict[str, Any]:
    return {key: value for key, value in (record.model_extra or {}).items() if key not in _REDUNDANT}
