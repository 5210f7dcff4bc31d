"""Flickr8k's expert judgments: how well a caption describes an image, by three people from 1 to 4.

Hodosh, Young and Hockenmaier, "Framing Image Description as a Ranking Task", JAIR 2013.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from model.errors import DataError

Grade = Field(ge=1, le=4)


class _Line(BaseModel):
    image: str
    caption_image: str
    caption: str = Field(min_length=1)
    judge_1: int = Grade
    judge_2: int = Grade
    judge_3: int = Grade


@dataclass(frozen=True, eq=False)
class Judgments:
    """P pairs of an image and a caption written for another one.

    Attributes:
        images: file name of each pair's image.
        captions: each pair's caption.
        grades: of the three people, 1 (unrelated) to 4 (describes it), [P, 3].
    """

    images: tuple[str, ...]
    captions: tuple[str, ...]
    grades: NDArray[np.int64]


def load_judgments(file: Path) -> Judgments:
    """Read a CSV file with the columns image, caption_image, caption, judge_1, judge_2 and judge_3.

    Pairs of an image with its own caption are left out, as in the published measure. Raises DataError naming the
    line that is not in the format.
    """
    lines = [line for line in _read(file) if line.image != line.caption_image]
    if not lines:
        raise DataError(f"{file} judges no pair of an image and another image's caption")
    return Judgments(
        images=tuple(line.image for line in lines),
        captions=tuple(line.caption for line in lines),
        grades=np.array([(line.judge_1, line.judge_2, line.judge_3) for line in lines], np.int64),
    )


def _read(file: Path) -> list[_Line]:
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read as CSV: {error}") from error
    lines = []
    for number, row in enumerate(rows, start=2):
        try:
            lines.append(_Line.model_validate(row))
        except ValidationError as error:
            problem = error.errors()[0]
            column = ".".join(map(str, problem["loc"]))
            raise DataError(f"line {number} of {file}: column {column}: {problem['msg']}") from error
    return lines
