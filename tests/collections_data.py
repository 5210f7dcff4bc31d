"""Rows of collections for tests, drawn from a seed: equal and nearly equal vectors, payloads, filters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.collection import SearchOptions
from index.filters import ITEM_KEYS, Filter, parse_filter
from index.items import Embeddings, Item, Modality, image_item_id, text_item_id
from index.manifest import IndexedModel
from index.metadata import SCHEMA
from index.payload import dump_payload
from index.pending import PendingRows, PendingVersion
from index.rejects import Reject

DIMENSION = 8

_TAGS = ("dog", "Dog", "DOGGED", "cat", "straße", "STRASSE", "Éclair", "éCLAIR", "ΑΣ", "a.b", "", "true", "1", "日本")
_NUMBERS = (-1, 0, 1, 1.0, -0.0, 1.5, 2, 2**53, 2**53 + 1, 2.0**53, -(2**63), 2**63 - 1, 2.0**63, 1e300, 0.1)
_KEYS = ("tag", "tags", "year", "flag", "exif.lens", "exif.iso", "mixed", "deep.er.est", "never", *ITEM_KEYS)


def unit_rows(rows: int, *, dimension: int = DIMENSION, seed: int = 0) -> Embeddings:
    """Random rows of length 1 [N, D]."""
    return _unit(np.random.default_rng(seed).normal(size=(rows, dimension)))


def indexed_model(root: Path, *, dimension: int = DIMENSION) -> IndexedModel:
    """The identity of a model that nobody needs to load."""
    return IndexedModel(model_id="0123456789abcdef", name="tiny", dimension=dimension, directory=str(root / "model"))


def image_item(
    uri: str, caption: str | None = None, payload: Mapping[str, Any] | None = None, description: str | None = None
) -> Item:
    return Item(image_item_id(uri), Modality.IMAGE, uri, caption, payload or {}, description)


def text_item(uri: str, caption: str, ordinal: int = 0, payload: Mapping[str, Any] | None = None) -> Item:
    return Item(text_item_id(uri, caption, ordinal), Modality.TEXT, uri, caption, payload or {})


def metadata_table(items: Sequence[Item], fingerprints: Sequence[bytes | None] | None = None) -> pa.Table:
    """The table of SCHEMA of items whose captions belong to the image of the same uri."""
    columns = {
        "id": [item.id for item in items],
        "image_id": [item.id if item.modality is Modality.IMAGE else image_item_id(item.uri) for item in items],
        "uri": [item.uri for item in items],
        "caption": [item.caption for item in items],
        "payload": [dump_payload(dict(item.payload)) for item in items],
        "fingerprint": list(fingerprints) if fingerprints is not None else [None] * len(items),
        "description": [item.description for item in items],
    }
    return pa.table(columns, schema=SCHEMA)


def pending_rows(items: Sequence[Item], vectors: Embeddings) -> PendingRows:
    """Items of one modality with their vectors [N, D]."""
    return PendingRows(np.ascontiguousarray(vectors, np.float32), metadata_table(items))


def pending_version(
    root: Path, rows: Mapping[Modality, PendingRows], *, dimension: int = DIMENSION, rejects: Sequence[Reject] = ()
) -> PendingVersion:
    """A version whose images root is `root`/images; the images themselves are written by `write_images`."""
    return PendingVersion(indexed_model(root, dimension=dimension), root / "images", rows, rejects)


def write_images(pending: PendingVersion) -> None:
    """A file for every uri: enough for those who ask where an image lies."""
    for rows in pending.rows.values():
        for uri in rows.metadata["uri"].to_pylist():
            path = pending.images_root / uri
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"an image")


class Drawing:
    """Everything random of one test, from one seed."""

    def __init__(self, seed: int, *, dimension: int = DIMENSION) -> None:
        self.rng = np.random.default_rng(seed)
        self.dimension = dimension
        self._images = 0

    def rows(self, images: int, texts: int, *, of: Sequence[str] = ()) -> dict[Modality, PendingRows]:
        """New images, and captions of them or of the images with the uris `of`."""
        pictured = [self._image() for _ in range(images)]
        uris = [*of, *(item.uri for item in pictured)]
        captions = [self._text(uris[self._below(len(uris))], number) for number in range(texts)]
        return {
            Modality.IMAGE: pending_rows(pictured, self.vectors(images)),
            Modality.TEXT: pending_rows(captions, self.vectors(texts)),
        }

    def vectors(self, count: int) -> Embeddings:
        """[count, D] of length 1: a third equal to others, a third as near to others as float32 can tell apart."""
        vectors = _unit(self.rng.normal(size=(count, self.dimension)))
        few = vectors[: max(1, count // 8)].copy()
        for row in range(len(few), count):
            match self._below(3):
                case 0:
                    vectors[row] = few[self._below(len(few))]
                case 1:
                    vectors[row] = few[self._below(len(few))]
                    vectors[row, 0] = np.nextafter(vectors[row, 0], np.float32(2))
        return vectors

    def queries(self, rows: Embeddings) -> Embeddings:
        """[Q, D]: random ones, some rows themselves, and the opposite of one."""
        own = rows[self.rng.integers(0, len(rows), 3)] if len(rows) else rows[:0]
        return np.concatenate([self.vectors(4)[-3:], own, -own[:1]]).astype(np.float32)

    def redrawn(self, items: Sequence[Item]) -> dict[Modality, PendingRows]:
        """The same ids with other payloads and vectors, and images with other descriptions."""
        return {
            modality: pending_rows(
                [self._redrawn(item) for item in items if item.modality is modality],
                self.vectors(sum(item.modality is modality for item in items)),
            )
            for modality in Modality
        }

    def ids(self, ids: Sequence[str], count: int) -> list[str]:
        """Up to `count` of the ids, each once."""
        return [ids[place] for place in self.rng.permutation(len(ids))[:count]]

    def options(self, filter: Filter | None) -> SearchOptions:
        """A random page, sometimes with a threshold."""
        threshold = float(self.rng.uniform(-1, 1)) if not self._below(4) else None
        return SearchOptions(int(self._one((1, 5, 10, 70, 1000))), self._one((0, 0, 3, 50)), threshold, filter)

    def payload(self) -> dict[str, Any]:
        """A payload in which any key may be missing, null, of another type, a list or empty."""
        mixed = (*_TAGS, *_NUMBERS, True, None)
        keys = {"tag": _TAGS, "year": range(1990, 2030), "flag": (True, False), "mixed": mixed}
        payload = {key: self._one(values) for key, values in keys.items() if self._below(4)}
        if self._below(3):
            payload["tags"] = [self._one(_TAGS) for _ in range(self._below(4))]
        if self._below(2):
            payload["exif"] = self._one(({"lens": self._one(_TAGS), "iso": self._one(_NUMBERS)}, None, {}, "none"))
        if self._below(2):
            payload["deep"] = [{"er": {"est": self._one(_NUMBERS)}}, {"er": [{"est": None}]}, 7][: self._below(4)]
        return payload

    def filter(self, items: Sequence[Item], depth: int = 2) -> Filter:
        """A random filter, sometimes empty, whose values are often among those of the items."""
        return parse_filter(self._filter(items, depth))

    def _filter(self, items: Sequence[Item], depth: int) -> dict[str, Any]:
        return {
            clause: [self._clause(items, depth) for _ in range(1 + self._below(2))]
            for clause in ("must", "should", "must_not")
            if not self._below(3)
        }

    def _clause(self, items: Sequence[Item], depth: int) -> dict[str, Any]:
        if depth and not self._below(5):
            return {"must": [], **self._filter(items, depth - 1)}
        key = self._one(_KEYS)
        return {"key": key if key in ("id", "uri") or self._below(4) else f"payload.{key}", **self._test(key, items)}

    def _test(self, key: str, items: Sequence[Item]) -> dict[str, Any]:
        values = (*_TAGS, *_NUMBERS, True, False, 2005, 2010.0)
        if key in ("id", "uri", "caption") and items:
            values = tuple(str(getattr(self._one(items), key)) for _ in range(5))
        match self._below(5):
            case 0:
                return {"match": {"value": self._one(values)}}
            case 1:
                return {"match": {"any": [self._one(values) for _ in range(self._below(5))]}}
            case 2:
                return {"match": {"text": self._one(("o", "DOG", "ÉC", "strasse", "ß", "img", "σ", ".", "本"))}}
            case 3:
                bounds = ("gt", "gte", "lt", "lte")
                return {"range": {self._one(bounds): self._one((*_NUMBERS, 2000, 2010.5)) for _ in range(2)}}
        return {"exists": bool(self._below(2))}

    def _image(self) -> Item:
        self._images += 1
        uri = f"{self._one(('a', 'b/c', 'Ü'))}/{self._images:04d}.jpg"
        return image_item(uri, self._one((None, "a dog", "Two CATS")), self.payload(), self._description())

    def _redrawn(self, item: Item) -> Item:
        described = self._description() if item.modality is Modality.IMAGE else None
        return replace(item, payload=self.payload(), description=described)

    def _description(self) -> str | None:
        return self._one((None, "", "a dog on a beach", f"eine Straße, {self._below(9)} Éclairs"))

    def _text(self, uri: str, number: int) -> Item:
        return text_item(uri, f"{self._one(('a dog', 'Two CATS', 'eine Straße'))} {number}", payload=self.payload())

    def _below(self, bound: int) -> int:
        return int(self.rng.integers(bound))

    def _one(self, values: Sequence[Any]) -> Any:
        return values[self._below(len(values))]


def _unit(values: NDArray[np.float64]) -> Embeddings:
    unit: Embeddings = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return unit
