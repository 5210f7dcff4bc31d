"""Captions in the JSON format of Karpathy and Fei-Fei, as records of images."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from index.sources.payloads import checked_payload
from index.sources.records import Caption, DescribedImage, normal_uri
from model.datasets import karpathy
from model.datasets.karpathy import KarpathyImage, KarpathySentence

# They only repeat what the sentences say.
_REDUNDANT = {"sentids", "tokens"}


def read_karpathy(path: Path) -> list[DescribedImage]:
    """Read a Karpathy JSON file; equal captions of one image are allowed under different sentids.

    Further keys of an image become its payload, further keys of a sentence the payload of its caption where they are
    plain values. Raises DataError as the reader of the format does.
    """
    images = karpathy.read_karpathy(path, KarpathyImage[KarpathySentence]).images
    return [_described(path, at, image) for at, image in enumerate(images)]


def _described(path: Path, at: int, image: KarpathyImage[KarpathySentence]) -> DescribedImage:
    place = f"images[{at}]"
    captions = tuple(
        _caption(path, f"{place}.sentences[{sentence_at}]", sentence)
        for sentence_at, sentence in enumerate(image.sentences)
    )
    uris = tuple(dict.fromkeys([image.uri, normal_uri(image.filename)]))
    return DescribedImage(uris, captions, place, checked_payload(_extras(image), path, place))


def _caption(path: Path, place: str, sentence: KarpathySentence) -> Caption:
    """Plain values only: annotations such as long lists of image ids would be held in memory for every caption."""
    extras = {key: value for key, value in _extras(sentence).items() if not isinstance(value, list | dict)}
    payload = extras if sentence.sentid is None else {"sentid": sentence.sentid, **extras}
    return Caption(sentence.raw, place, checked_payload(payload, path, place))


def _extras(record: BaseModel) -> dict[str, Any]:
    return {key: value for key, value in (record.model_extra or {}).items() if key not in _REDUNDANT}
