"""Which rows of the current version a change replaces or deletes, by their keys, and whether it may."""

from collections.abc import Iterable, Mapping

from index.collection.milvus.collection import MilvusCollection
from index.collection.milvus.schema import key_of
from index.items import Modality
from index.pending import PendingRows
from model.errors import InvalidInput, ItemNotFound

Keys = dict[Modality, set[str]]


def replaced(before: MilvusCollection, rows: Mapping[Modality, PendingRows]) -> Keys:
    """The rows that new ones replace; raises InvalidInput for what `Store.upsert` says."""
    given = _given(before, rows)
    keys: Keys = {modality: set() for modality in Modality}
    for modality in rows:
        by_key = {key_of(item_id): item_id for item_id, of in given.items() if of is modality}
        keys[modality] = _existing(before, modality, by_key)
        for key in _existing(before, modality.other, by_key):
            raise InvalidInput(
                f"the id {by_key[key]!r:.80} is of {modality.other} items, not of {modality} items; give another id"
            )
    _check_images(before, rows, {item_id for item_id, of in given.items() if of is Modality.IMAGE})
    return keys


def captions_of(before: MilvusCollection, image_keys: Iterable[str]) -> set[str]:
    """The captions of images."""
    found = before.rows[Modality.TEXT].found("image_key", image_keys, ("pk", "key"))
    return {row["key"] for row in found}


def deleted(before: MilvusCollection, ids: Iterable[str]) -> Keys:
    """The rows of these ids and of the captions of images among them; raises ItemNotFound."""
    by_key = {key_of(item_id): item_id for item_id in ids}
    keys = {modality: _existing(before, modality, by_key) for modality in Modality}
    missing = sorted(by_key[key] for key in by_key.keys() - keys[Modality.IMAGE] - keys[Modality.TEXT])
    if missing:
        raise ItemNotFound(
            f"no item of version {before.version} has the id {missing[0]!r:.80} ({len(missing)} of {len(by_key)} ids "
            "are unknown); nothing was deleted"
        )
    keys[Modality.TEXT] |= captions_of(before, keys[Modality.IMAGE])
    return keys


def _given(before: MilvusCollection, rows: Mapping[Modality, PendingRows]) -> dict[str, Modality]:
    given: dict[str, Modality] = {}
    for modality, pending in rows.items():
        if len(pending) and pending.vectors.shape[1] != before.model.dimension:
            raise InvalidInput(
                f"rows of dimension {pending.vectors.shape[1]} do not fit an index of dimension "
                f"{before.model.dimension}; embed them with its model"
            )
        for item_id in pending.metadata["id"].to_pylist():
            if item_id in given:
                raise InvalidInput(f"the id {item_id!r:.80} is given twice; give each item once")
            given[item_id] = modality
    return given


def _check_images(before: MilvusCollection, rows: Mapping[Modality, PendingRows], images: set[str]) -> None:
    texts = rows.get(Modality.TEXT)
    named = set() if texts is None else set(texts.metadata["image_id"].to_pylist())
    by_key = {key_of(image_id): image_id for image_id in named - images}
    for key in sorted(by_key.keys() - _existing(before, Modality.IMAGE, by_key)):
        raise InvalidInput(f"a caption is of the image {by_key[key]!r:.80}, which is not in the index; add it as well")


def _existing(before: MilvusCollection, modality: Modality, keys: Iterable[str]) -> set[str]:
    return {row["key"] for row in before.rows[modality].found("key", keys, ("pk", "key"))}
