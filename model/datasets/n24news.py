"""N24News: images of a newspaper with their captions, one file of JSON for each published split.

Wang et al., "N24News: A New Dataset for Multimodal News Classification", LREC 2022. A file is a list of objects; of
their fields, retrieval needs the id of the image, which is also its file name, and the caption. Headline, abstract,
body, section and addresses are not read.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from model.datasets.json_file import read_json
from model.datasets.karpathy import refuse_twice
from model.errors import DataError

NAME = "n24news"
REMEDY = 'N24News is [{"image_id": "a1", "caption": "Voters in Ohio."}, ...], with the image in a1.jpg'

# How the published files call the splits.
_SUFFIXES = {"train": "train", "val": "dev", "test": "test"}

# An id is the name of a file in one folder.
FileId = Annotated[str, StringConstraints(pattern=r"^[^/\\]+$")]


class NewsImage(BaseModel):
    """One image with its caption."""

    model_config = ConfigDict(extra="ignore", strict=True)

    image_id: FileId | int
    caption: str

    @property
    def filename(self) -> str:
        """The file of the image."""
        return f"{self.image_id}.jpg"


_FILE = TypeAdapter(list[NewsImage])


def n24news_file(path: Path, split: str) -> Path:
    """The file of a split: nytimes_{train,dev,test}.json in a directory, or `path` itself where its name says so.

    Raises DataError for a file of another split, and for one whose name ends in no split, as that of all articles does.
    """
    if path.is_dir():
        return path / f"nytimes_{_SUFFIXES[split]}.json"
    found = next((name for name, suffix in _SUFFIXES.items() if path.stem.endswith(f"_{suffix}")), None)
    if found is None:
        raise DataError(
            f"{path} does not say in its name of which split it is: give nytimes_train.json, nytimes_dev.json or "
            "nytimes_test.json, or their folder"
        )
    if found != split:
        raise DataError(
            f"{path} is of split '{found}', as its name says, not of '{split}': choose that split, or give "
            f"nytimes_{_SUFFIXES[split]}.json"
        )
    return path


def read_n24news(path: Path) -> list[NewsImage]:
    """The images of one file in their order.

    Raises DataError, naming file, place and remedy, for a file that is not in the format, that has an image twice, and
    that has a caption without words.
    """
    images = read_json(path, _FILE.validate_python, REMEDY)
    refuse_twice(path, "image_id", ((str(image.image_id), f"[{at}]") for at, image in enumerate(images)))
    for at, image in enumerate(images):
        if not image.caption.strip():
            raise DataError(f"{path}, [{at}].caption: it is empty; remove the image {image.image_id}, or write it")
    return images
