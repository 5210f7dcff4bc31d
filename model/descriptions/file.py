"""`descriptions.jsonl`: one description a line, of an image or of one caption of it, all by one describer."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from model.errors import DataError

DESCRIPTIONS = "descriptions.jsonl"

Text = Annotated[str, StringConstraints(min_length=1)]


class Source(NamedTuple):
    """Who wrote a description: equal sources give equal images equal words, as far as the describer can.

    `prompt_hash` is of everything that the wording follows from: prompts, class names, grammar, gallery, settings.
    """

    describer: str
    prompt_hash: str


class Description(BaseModel):
    """One line of the file.

    Attributes:
        image: path below the folder of images, with slashes.
        caption_id: of the caption that it belongs to, as in the data set; None: it belongs to the image.
        text: the description.
        image_sha256: of the bytes of the file that was described.
        describer: such as "tags" or "openai:NAME".
        prompt_hash: see `Source`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Text
    caption_id: int | str | None = None
    text: Text
    image_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    describer: Text
    prompt_hash: str = Field(pattern=r"^[0-9a-f]{16}$")

    @property
    def source(self) -> Source:
        """Who wrote it."""
        return Source(self.describer, self.prompt_hash)

    @property
    def key(self) -> tuple[str, int | str | None]:
        """What it belongs to."""
        return self.image, self.caption_id


@dataclass(frozen=True)
class DescriptionFile:
    """All lines of a file, each image or caption once."""

    path: Path
    source: Source
    descriptions: tuple[Description, ...]

    @cached_property
    def of_image(self) -> Mapping[str, str]:
        """Descriptions of whole images, by path."""
        return {each.image: each.text for each in self.descriptions if each.caption_id is None}

    @cached_property
    def of_caption(self) -> Mapping[int | str, str]:
        """Descriptions that belong to one caption, by its id."""
        return {each.caption_id: each.text for each in self.descriptions if each.caption_id is not None}


def read_descriptions(path: Path) -> DescriptionFile:
    """A file of descriptions.

    Raises DataError, naming the line, for a file that cannot be read or is empty, a line that is not a description or
    is there twice, and for descriptions of several describers or prompts.
    """
    lines = list(read_lines(path))
    if not lines:
        raise DataError(f"{path} holds no description: make it with `aahr describe`")
    first = lines[0]
    seen: dict[tuple[str, int | str | None], int] = {}
    for number, line in enumerate(lines, start=1):
        if line.source != first.source:
            raise DataError(
                f"{path}, line {number}: by {line.describer} with prompt {line.prompt_hash}, but line 1 is by "
                f"{first.describer} with {first.prompt_hash}: a file has one describer; describe all again"
            )
        if (earlier := seen.setdefault(line.key, number)) != number:
            what = line.image if line.caption_id is None else f"caption {line.caption_id} of {line.image}"
            raise DataError(f"{path}, line {number}: {what} is described in line {earlier} already; remove one of them")
    return DescriptionFile(path, first.source, tuple(lines))


def read_lines(path: Path) -> Iterator[Description]:
    """The descriptions of a file, one after the other; raises DataError naming the line that is not one."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield _parsed(path, number, line)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}; describe the images again") from error


def as_lines(descriptions: Iterable[Description]) -> str:
    """Descriptions as they stand in a file; what is None is left out."""
    return "".join(json.dumps(each.model_dump(exclude_none=True), ensure_ascii=False) + "\n" for each in descriptions)


def _parsed(path: Path, number: int, line: str) -> Description:
    try:
        return Description.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the line"
        raise DataError(
            f"{path}, line {number}: {field}: {problem['msg'].lower()}; describe that image again"
        ) from None
