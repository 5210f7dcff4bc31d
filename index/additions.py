"""Images with their captions that come one by one, embedded already, as rows of an index."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.items import Modality, image_item_id, text_item_id
from index.metadata import SCHEMA
from index.payload import dump_payload
from index.pending import PendingRows

Embedding = NDArray[np.float32]  # [D], L2-normalised


@dataclass(frozen=True, eq=False)
class Addition:
    """One image: the bytes of its file, its `upload_uri`, its embedding, and its captions with theirs.

    `description`: what the image was embedded with, cleaned, where the model fuses semantics.

    `given_id` None: the id follows from the uri, as a rebuild of the images root would have it.
    """

    content: bytes
    uri: str
    embedding: Embedding
    given_id: str | None = None
    captions: Sequence[tuple[str, Embedding]] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)
    description: str | None = None

    @property
    def id(self) -> str:
        """The id of the image."""
        return self.given_id or image_item_id(self.uri)

    @property
    def caption_ids(self) -> tuple[str, ...]:
        """The ids of the captions: of the image's id, since two items may be of the same bytes.

        The stroke makes them other than those of any image in a folder, whose uri never begins with one.
        """
        times: Counter[str] = Counter()
        ids = []
        for text, _ in self.captions:
            ids.append(text_item_id(f"/{self.id}", text, times[text]))
            times[text] += 1
        return tuple(ids)


def rows_of(additions: Sequence[Addition]) -> Mapping[Modality, PendingRows]:
    """The rows of some images with different ids, as `Store.upsert` takes them."""
    images = [(_image_cells(addition), addition.embedding) for addition in additions]
    texts = [row for addition in additions for row in _caption_rows(addition)]
    rows = {Modality.IMAGE: images, Modality.TEXT: texts}
    return {modality: _pending(of) for modality, of in rows.items() if of}


def _image_cells(addition: Addition) -> dict[str, Any]:
    return {
        "id": addition.id,
        "image_id": addition.id,
        "uri": addition.uri,
        "caption": addition.captions[0][0] if addition.captions else None,
        "payload": dump_payload(dict(addition.payload)),
        "fingerprint": hashlib.sha256(addition.content).digest(),
        "description": addition.description,
    }


def _caption_rows(addition: Addition) -> Iterator[tuple[dict[str, Any], Embedding]]:
    none = dict.fromkeys(("fingerprint", "description"))
    shared = {"image_id": addition.id, "uri": addition.uri, "payload": "{}", **none}
    for caption_id, (text, embedding) in zip(addition.caption_ids, addition.captions, strict=True):
        yield {**shared, "id": caption_id, "caption": text}, embedding


def _pending(rows: Sequence[tuple[dict[str, Any], Embedding]]) -> PendingRows:
    cells = [cells for cells, _ in rows]
    table = pa.Table.from_pylist(cells, schema=SCHEMA)
    return PendingRows(np.stack([np.asarray(vector, np.float32) for _, vector in rows]), table)
