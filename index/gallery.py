"""The rows of an index: what each one stands for, its stable id, and the file that keeps them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from index.items import Item, Modality
from model.errors import ArtifactCorrupt

GALLERY = "gallery.parquet"

_SCHEMA = pa.schema(
    [
        pa.field("modality", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("payload", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Gallery:
    """All items, in the order of the rows of the two FAISS indexes."""

    images: tuple[Item, ...]
    texts: tuple[Item, ...] = ()

    def of(self, modality: Modality) -> tuple[Item, ...]:
        """The items of one modality: item n is row n of its index."""
        return self.images if modality is Modality.IMAGE else self.texts


def write_gallery(path: Path, gallery: Gallery) -> None:
    """Write one line per item: modality, row, id, uri, caption, payload (as JSON)."""
    lines = [
        {
            "modality": modality.value,
            "row": row,
            "id": item.id,
            "uri": item.uri,
            "caption": item.caption,
            "payload": json.dumps(dict(item.payload), allow_nan=False),
        }
        for modality in Modality
        for row, item in enumerate(gallery.of(modality))
    ]
    pq.write_table(pa.Table.from_pylist(lines, schema=_SCHEMA), path, compression="zstd")


def read_gallery(path: Path) -> Gallery:
    """Read a gallery; raises ArtifactCorrupt where columns, row numbers or ids are not what `write_gallery` writes."""
    lines = _read_lines(path)
    items: dict[Modality, list[Item]] = {modality: [] for modality in Modality}
    for line in lines:
        try:
            item, row = _item_of(line), line["row"]
        except (ValueError, RecursionError) as error:
            raise ArtifactCorrupt(f"{path} holds a line that is no item ({error}); rebuild the index") from error
        if row != len(items[item.modality]):
            raise ArtifactCorrupt(f"{path} has row {row} where {len(items[item.modality])} belongs; rebuild the index")
        items[item.modality].append(item)
    _check_ids(path, [*items[Modality.IMAGE], *items[Modality.TEXT]])
    return Gallery(tuple(items[Modality.IMAGE]), tuple(items[Modality.TEXT]))


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise ArtifactCorrupt(f"{path} cannot be read as parquet ({error}); rebuild the index") from error
    if table.schema.names != _SCHEMA.names or table.schema.types != _SCHEMA.types:
        raise ArtifactCorrupt(f"{path} has the columns {table.schema.names}, not {_SCHEMA.names}; rebuild the index")
    lines: list[dict[str, Any]] = table.to_pylist()
    return lines


def _item_of(line: Mapping[str, Any]) -> Item:
    payload = json.loads(line["payload"])
    if not isinstance(payload, dict):
        raise ValueError(f"the payload of {line['id']} is no JSON object")
    return Item(line["id"], Modality(line["modality"]), line["uri"], line["caption"], payload)


def _check_ids(path: Path, items: Sequence[Item]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise ArtifactCorrupt(f"{path} holds the id {item.id} twice; rebuild the index")
        seen.add(item.id)
