"""Captions in the JSON format of Karpathy and Fei-Fei (CVPR 2015), as Flickr8k, Flickr30K and COCO are split with."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from index.sources.payloads import checked_payload
from index.sources.records import Caption, DescribedImage, normal_uri, parse_json
from model.errors import DataError

# They only repeat what the sentences say.
_REDUNDANT = {"sentids", "tokens"}

Name = Annotated[str, StringConstraints(min_length=1)]


class _Sentence(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    raw: str
    sentid: int | str | None = None


class _Image(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    filename: Name
    filepath: str = ""
    sentences: list[_Sentence]

    @property
    def uri(self) -> str:
        return normal_uri(f"{self.filepath}/{self.filename}" if self.filepath else self.filename)


class _Dataset(BaseModel):
    images: list[_Image]


def read_karpathy(path: Path) -> list[DescribedImage]:
    """Read a Karpathy JSON file; equal captions of one image are allowed under different sentids.

    Further keys of an image become its payload, further keys of a sentence the payload of its caption where they are
    plain values. Raises DataError, OSError and UnicodeDecodeError.
    """
    images = _parse(path, path.read_text(encoding="utf-8-sig"))
    _refuse_twice(path, "filename", ((image.uri, f"images[{at}]") for at, image in enumerate(images)))
    _refuse_twice(path, "sentid", _sentids(images))
    return [_described(path, at, image) for at, image in enumerate(images)]


def _parse(path: Path, text: str) -> list[_Image]:
    try:
        return _Dataset.model_validate(parse_json(text)).images
    except ValidationError as error:
        raise DataError(f"{path}, {_first_problem(error)}; Karpathy's format is {_SKETCH}") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: {error.msg}; fix the JSON there") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON that can be used: {error}") from error


_SKETCH = '{"images": [{"filename": "a.jpg", "sentences": [{"raw": "a dog", "sentid": 0}]}]}'


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    return f"{place.lstrip('.') or 'the document'}: {problem['msg'].lower()}"


def _sentids(images: list[_Image]) -> Iterable[tuple[int | str, str]]:
    for at, image in enumerate(images):
        for sentence_at, sentence in enumerate(image.sentences):
            if sentence.sentid is not None:
                yield sentence.sentid, f"images[{at}].sentences[{sentence_at}]"


def _refuse_twice(path: Path, key: str, places: Iterable[tuple[int | str, str]]) -> None:
    seen: dict[int | str, str] = {}
    for value, place in places:
        if value in seen:
            raise DataError(f"{path}, {place}: the {key} {value} is at {seen[value]} already; keep one of the two")
        seen[value] = place


def _described(path: Path, at: int, image: _Image) -> DescribedImage:
    place = f"images[{at}]"
    captions = tuple(
        _caption(path, f"{place}.sentences[{sentence_at}]", sentence)
        for sentence_at, sentence in enumerate(image.sentences)
    )
    uris = tuple(dict.fromkeys([image.uri, normal_uri(image.filename)]))
    return DescribedImage(uris, captions, place, checked_payload(_extras(image), path, place))


def _caption(path: Path, place: str, sentence: _Sentence) -> Caption:
    """Plain values only: annotations such as long lists of image ids would be held in memory for every caption."""
    extras = {key: value for key, value in _extras(sentence).items() if not isinstance(value, list | dict)}
    payload = extras if sentence.sentid is None else {"sentid": sentence.sentid, **extras}
    return Caption(sentence.raw, place, checked_payload(payload, path, place))


def _extras(record: BaseModel) -> dict[str, Any]:
    return {key: value for key, value in (record.model_extra or {}).items() if key not in _REDUNDANT}
