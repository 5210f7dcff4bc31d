"""What can be found: an item of the gallery, its modality and its stable id."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]  # [N, D], L2-normalised
Rows = NDArray[np.int64]  # [n], -1 where there is none


class Modality(StrEnum):
    """What an item is, and what a query asks for."""

    IMAGE = "image"
    TEXT = "text"

    @property
    def other(self) -> "Modality":
        """The modality that a query of this one searches unless it says otherwise."""
        return Modality.TEXT if self is Modality.IMAGE else Modality.IMAGE


@dataclass(frozen=True, slots=True)
class Item:
    """What a search can find: an image, or a caption of an image.

    `uri` is the POSIX path of the image below the images root, for a caption too. `caption` is the text of a text item
    and the first caption, if any, of an image item. `payload` holds plain JSON values. `description` is what an image
    was embedded with beside its pixels, by a model that fuses semantics.
    """

    id: str
    modality: Modality
    uri: str
    caption: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    description: str | None = None


def image_item_id(uri: str) -> str:
    """The id of an image that was not given one: equal paths have equal ids in every rebuild."""
    return "img_" + _digest([uri])


def text_item_id(uri: str, caption: str, ordinal: int) -> str:
    """The id of a caption; `ordinal` counts the earlier captions of the same image with the same words."""
    return "txt_" + _digest([uri, caption, ordinal])


def _digest(parts: list[str | int]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
