"""The rows of a store in Milvus: their fields, and how items become rows and rows items."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.collection.milvus.connection import PAGE_ROWS, Row
from index.collection.milvus.terms import terms_of
from index.items import Item, Modality
from index.known import image_digest, text_digest
from index.pending import PendingRows
from model.errors import InvalidInput

MAX_TEXT_BYTES = 65_535  # of a VARCHAR
MAX_TERMS = 4_096  # elements of an ARRAY

INDEX_PARAMS: Mapping[str, Mapping[str, int]] = {"FLAT": {}, "HNSW": {"M": 32, "efConstruction": 200}}

ITEM_FIELDS = ("pk", "id", "uri", "caption", "payload", "description")
_TEXTS = ("id", "image_id", "uri", "caption", "payload", "description")
ALL_FIELDS = (
    *ITEM_FIELDS,
    "key",
    "image_key",
    "image_id",
    "fingerprint",
    "born",
    "died",
    "digest",
    "terms",
    "numbers",
    "vector",
)

# Fields that generations of earlier versions lack; their rows are read with none there.
_ADDED = frozenset({"description"})

_BATCH_BYTES = 16 << 20


def key_of(item_id: str) -> str:
    """What an id is looked up by: letters and digits only, whatever the id holds."""
    return hashlib.sha256(item_id.encode()).hexdigest()[:32]


def row_key(key: str, born: int) -> str:
    """The primary key of the row that version `born` wrote for the item of a key."""
    return f"{key}-{born}"


def data_fields(dimension: int) -> list[dict[str, Any]]:
    """The fields of a collection of items, as `Connection.create` takes them.

    `pk` is of one state of one item; `key` and `image_key` are digests of ids, for look-ups; `born` and `died` are the
    numbers of the versions that wrote and that replaced or deleted the row (0: none); `fingerprint` is what the
    embedding was made from, as `Known` asks for it; `digest` is of all that the item is; `terms` and `numbers` are what
    filters ask (see `terms.py`).
    """
    text = {"datatype": "VARCHAR", "max_length": MAX_TEXT_BYTES}
    digest = {"datatype": "VARCHAR", "max_length": 64}
    return [
        {"field_name": "pk", "is_primary": True, **digest},
        *({"field_name": name, **digest} for name in ("key", "image_key", "digest")),
        *({"field_name": name, **text} for name in ("id", "image_id", "uri", "payload")),
        *({"field_name": name, "nullable": True, **text} for name in ("caption", "description")),
        {"field_name": "fingerprint", "nullable": True, **digest},
        *({"field_name": name, "datatype": "INT64"} for name in ("born", "died")),
        {
            "field_name": "terms",
            "datatype": "ARRAY",
            "element_type": "VARCHAR",
            "max_capacity": MAX_TERMS,
            "max_length": 64,
        },
        {"field_name": "numbers", "datatype": "JSON"},
        {"field_name": "vector", "datatype": "FLOAT_VECTOR", "dim": dimension},
    ]


def data_indexes(kind: str, *, lite: bool) -> list[dict[str, Any]]:
    """The indexes of a collection of items; Milvus Lite has none for lists, and compares row by row anyway."""
    vector = {"field_name": "vector", "index_type": kind, "metric_type": "IP", "params": dict(INDEX_PARAMS[kind])}
    looked_up = () if lite else ("key", "image_key", "terms")
    return [vector, *({"field_name": name, "index_type": "INVERTED"} for name in looked_up)]


def check_rows(modality: Modality, rows: PendingRows) -> None:
    """Raise InvalidInput for an item that Milvus cannot store, naming its id and what is too long."""
    for row in _metadata(rows):
        for field in _TEXTS:
            size = len((row[field] or "").encode())
            if size > MAX_TEXT_BYTES:
                raise InvalidInput(
                    f"the {field} of the {modality} {row['id']!r:.80} has {size} bytes; "
                    f"Milvus stores {MAX_TEXT_BYTES}: shorten it"
                )
        # A value makes at most five terms and takes up two bytes.
        terms = len(terms_of(_item(modality, row))[0]) if len(row["payload"]) > MAX_TERMS // 5 else 0
        if terms > MAX_TERMS:
            raise InvalidInput(
                f"the payload of the {modality} {row['id']!r:.80} makes {terms} terms to filter by; "
                f"Milvus stores {MAX_TERMS}: give it fewer values"
            )


def batches(modality: Modality, rows: PendingRows, born: int) -> Iterator[list[Row]]:
    """The rows as version `born` writes them, in batches that one request can carry."""
    batch: list[Row] = []
    size = 0
    for metadata, vector in zip(_metadata(rows), rows.vectors, strict=True):
        row = _row(modality, metadata, np.ascontiguousarray(vector, dtype=np.float32), born)
        batch.append(row)
        size += vector.nbytes + sum(len(value) for value in row.values() if isinstance(value, str))
        if len(batch) == PAGE_ROWS or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def item_of(modality: Modality, row: Row) -> Item:
    """The item of a row with ITEM_FIELDS."""
    return _item(modality, row)


def lacking(names: Collection[str]) -> frozenset[str]:
    """Of the fields of a collection of items, those that came after it was made."""
    return _ADDED - set(names)


def reborn(row: Row, born: int) -> Row:
    """A row of ALL_FIELDS as version `born` writes it anew, with none in what its generation lacked."""
    return {**dict.fromkeys(_ADDED), **row, "pk": row_key(row["key"], born), "born": born, "died": 0}


def _metadata(rows: PendingRows) -> Iterator[Row]:
    for batch in rows.metadata.to_batches(max_chunksize=PAGE_ROWS):
        yield from batch.to_pylist()


def _item(modality: Modality, row: Row) -> Item:
    payload = json.loads(row["payload"])
    return Item(row["id"], modality, row["uri"], row["caption"], payload, row.get("description"))


def _row(modality: Modality, metadata: Row, vector: NDArray[np.float32], born: int) -> Row:
    terms, numbers = terms_of(_item(modality, metadata))
    key, fingerprint = key_of(metadata["id"]), _known_by(modality, metadata)
    texts = {name: metadata[name] for name in _TEXTS}
    return {
        **texts,
        "pk": row_key(key, born),
        "key": key,
        "image_key": key_of(metadata["image_id"]),
        "fingerprint": fingerprint,
        "born": born,
        "died": 0,
        "digest": _digest(modality, texts, fingerprint, vector),
        "terms": terms,
        "numbers": numbers,
        "vector": vector,
    }


def _known_by(modality: Modality, metadata: Row) -> str | None:
    if modality is Modality.TEXT:
        return text_digest(metadata["caption"] or "").hex()
    bare = metadata["fingerprint"]
    return image_digest(bare, metadata["description"]).hex() if bare else None


def _digest(
    modality: Modality, texts: Mapping[str, str | None], fingerprint: str | None, vector: NDArray[np.float32]
) -> str:
    # What is not described has the digest that it had before there were descriptions: copied rows keep theirs.
    fields = [text for name, text in texts.items() if name not in _ADDED or text is not None]
    digest = hashlib.sha256(json.dumps([modality, *fields, fingerprint]).encode())
    digest.update(vector.astype("<f4").tobytes())
    return digest.hexdigest()
