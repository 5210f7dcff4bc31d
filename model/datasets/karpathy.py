"""Karpathy's format: one JSON file with the images of a data set, their splits and their sentences.

Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015; Flickr8k,
Flickr30K and COCO are split with it. Training and the index read it here; each declares what else it needs of an image.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints

from model.datasets.json_file import read_json
from model.errors import DataError

REMEDY = 'Karpathy\'s format is {"images": [{"filename": "a.jpg", "sentences": [{"raw": "a dog", "sentid": 0}]}]}'

Name = Annotated[str, StringConstraints(min_length=1)]
SentenceId = int | str


class KarpathySentence(BaseModel):
    """One caption; what else the file says of it stays in `model_extra`."""

    model_config = ConfigDict(extra="allow", strict=True)

    raw: str
    sentid: SentenceId | None = None


Sentence = TypeVar("Sentence", bound=KarpathySentence)


class KarpathyImage(BaseModel, Generic[Sentence]):
    """One image with its captions; what else the file says of it stays in `model_extra`."""

    model_config = ConfigDict(extra="allow", strict=True)

    filename: Name
    filepath: str = ""  # COCO: the folder below the root
    sentences: list[Sentence]

    @property
    def uri(self) -> str:
        """The path of the image below the root."""
        return PurePosixPath(f"{self.filepath}/{self.filename}" if self.filepath else self.filename).as_posix()


Image = TypeVar("Image", bound=KarpathyImage[Any])


class KarpathyFile(BaseModel, Generic[Image]):
    """The images of one file in their order, no two of one path and no two sentences of one id."""

    model_config = ConfigDict(strict=True)

    dataset: str = ""
    images: list[Image]


def read_karpathy(path: Path, kind: type[Image], *, remedy: str = REMEDY) -> KarpathyFile[Image]:
    """The file with images of one kind, which may require more fields than the format does.

    Raises DataError, naming file, place and `remedy`, for a file that cannot be read, that is not strict JSON, that
    lacks a field or has one of another type, and that has a path or a sentence id twice.
    """
    content: KarpathyFile[Image] = read_json(path, KarpathyFile[kind].model_validate, remedy)  # type: ignore[valid-type]
    refuse_twice(path, "filename", ((image.uri, f"images[{at}]") for at, image in enumerate(content.images)))
    refuse_twice(path, "sentid", _sentence_ids(content.images))
    return content


def refuse_twice(path: Path, key: str, places: Iterable[tuple[SentenceId, str]]) -> None:
    """Raise DataError for the first value that stands at two places; `places` are pairs of a value and its place."""
    seen: dict[SentenceId, str] = {}
    for value, place in places:
        if value in seen:
            raise DataError(f"{path}, {place}: the {key} {value} is at {seen[value]} already; keep one of the two")
        seen[value] = place


def _sentence_ids(images: Iterable[KarpathyImage[Any]]) -> Iterable[tuple[SentenceId, str]]:
    for at, image in enumerate(images):
        for sentence_at, sentence in enumerate(image.sentences):
            if sentence.sentid is not None:
                yield sentence.sentid, f"images[{at}].sentences[{sentence_at}]"
