"""What is to be changed in the gallery and what became of it, whatever protocol it came by."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from index.additions import Addition, Embedding
from index.uploads import upload_uri
from model.errors import AahrError, EmptyText
from service.core.encoder import Encoder
from service.core.errors import InvalidField
from service.obs.timing import Stopwatch


@dataclass(frozen=True, slots=True)
class NewItem:
    """An image file with its cleaned captions; without an id it gets one that follows from its bytes."""

    image: bytes
    id: str | None = None
    captions: Sequence[str] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)


class Stored(NamedTuple):
    """An image that is in the gallery now; `created`: nothing had its id before."""

    id: str
    uri: str
    caption_ids: Sequence[str]
    created: bool


class Deleted(NamedTuple):
    """An item that is no longer in the gallery."""

    id: str


Outcome = Stored | Deleted | AahrError


class Changed(NamedTuple):
    """What became of each item of a change, and the name of the index with the version that has all of it."""

    outcomes: Sequence[Outcome]
    name: str
    version: str


async def embedded(item: NewItem, encoder: Encoder, views: int, slots: asyncio.Semaphore, watch: Stopwatch) -> Addition:
    """An item with the embeddings of its image, in so many views, and of its captions, each of which takes a slot.

    Raises UnreadableImage, ImageTooLarge, UnsupportedQuery, InvalidField for a caption, OverloadedError and
    NotReadyError.
    """
    async with slots:
        image = await encoder.image(item.image, watch, views)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_caption(text, encoder, slots, watch)) for text in item.captions]
    captions = [(text, task.result()) for text, task in zip(item.captions, tasks, strict=True)]
    return Addition(
        item.image, upload_uri(item.image), image.embedding, item.id, captions, item.payload, image.description
    )


async def _caption(text: str, encoder: Encoder, slots: asyncio.Semaphore, watch: Stopwatch) -> Embedding:
    try:
        async with slots:
            found = await encoder.text(text, watch)
    except EmptyText as error:
        raise InvalidField(f"captions: {error}", "captions") from error
    return np.asarray(found.embedding, np.float32)
