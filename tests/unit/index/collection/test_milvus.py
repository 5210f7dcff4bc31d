"""A collection in Milvus passes the suite, on Milvus Lite."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from index.collection import Ordering, SearchOptions
from index.collection.milvus import collection as milvus_collection
from index.collection.milvus.store import MilvusStore
from index.filters import parse_filter
from index.items import Modality
from index.known import image_digest, text_digest
from index.metadata import SCHEMA
from index.pending import PendingRows
from model.errors import ArtifactMissing, ConfigError, InvalidInput
from tests.collections_data import Drawing, image_item, pending_rows, pending_version, unit_rows
from tests.unit.index.collection.milvus_lite import lite_store, served
from tests.unit.index.collection.suite import CollectionSuite
from tests.unit.index.collection.trial import StoreSubject, Subject, Trial

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT


@pytest.fixture(autouse=True)
def path(tmp_path: Path) -> Iterator[Path]:
    with served(tmp_path) as path:
        yield path


class TestMilvusCollection(CollectionSuite):
    """All checks of the suite; each test has a file of its own."""

    seeds = 1
    changes = 3

    def subject(self, root: Path) -> Subject:
        return StoreSubject(lite_store(root / "gallery.db"))


def test_flat_is_complete_and_hnsw_says_that_it_is_not(tmp_path: Path, path: Path) -> None:
    store = lite_store(path, "HNSW")
    trial = Trial(StoreSubject(store), tmp_path, Drawing(0).rows(300, 0), 1e-6)
    assert trial.collection.ordering(IMAGE) == Ordering(complete=False, ties="unspecified")
    few = {"must": [{"key": "id", "match": {"any": [item.id for item in trial.oracle.items(IMAGE)[:5]]}}]}
    many = {"must": [{"key": "flag", "exists": True}]}
    for chosen, found in ((few, 5), (many, 40)):
        for params in (None, {"efSearch": 60}):
            options = SearchOptions(limit=40, filter=parse_filter(chosen), params=params)
            for ids in trial.search(unit_rows(3), IMAGE, options):
                assert len(ids) == found
    for params in ({"ef": 10}, {"efSearch": 0}, {"nprobe": 4}):
        with pytest.raises(InvalidInput, match="efSearch"):
            trial.collection.search(unit_rows(1), IMAGE, SearchOptions(params=params))
    with pytest.raises(ConfigError, match="'IVF'"):
        lite_store(path, "IVF")


def test_nothing_reaches_beyond_the_window_of_milvus(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_collection, "WINDOW", 40)
    items = [image_item(f"{number}.jpg") for number in range(60)]
    # All of one score: the window ends amid them, and still the first by id are found.
    rows = {IMAGE: pending_rows(items, np.repeat(unit_rows(1), 60, axis=0))}
    trial = Trial(StoreSubject(lite_store(path)), tmp_path, rows, 1e-6)
    for offset in (0, 10, 30):
        (ids,) = trial.search(unit_rows(1), IMAGE, SearchOptions(limit=10, offset=offset))
        assert ids == sorted(item.id for item in items)[offset : offset + 10]
    with pytest.raises(InvalidInput, match="first 40 items"):
        trial.collection.search(unit_rows(1), IMAGE, SearchOptions(limit=10, offset=31))
    assert trial.search(unit_rows(1), IMAGE, SearchOptions(limit=10, offset=60)) == [[]]


def test_equal_contents_have_equal_ids_whatever_led_to_them(tmp_path: Path, path: Path) -> None:
    drawing = Drawing(5)
    first, added = drawing.rows(6, 6), drawing.rows(2, 2)
    store = lite_store(path)
    before = store.publish(pending_version(tmp_path, first))
    assert store.upsert(added).index_id != before.index_id
    after = store.delete([item_id for rows in added.values() for item_id in rows.metadata["id"].to_pylist()])
    assert after.index_id == before.index_id
    assert store.compact().index_id == before.index_id
    assert store.open().index_id == before.index_id


def test_rollback_and_a_change_after_it_leave_all_versions_as_they_were(tmp_path: Path, path: Path) -> None:
    drawing = Drawing(6)
    store = lite_store(path)
    store.publish(pending_version(tmp_path, drawing.rows(8, 8)))
    store.upsert(drawing.rows(2, 2))
    store.delete(store_ids(store)[:2])
    contents = {info.version: store_ids(store, info.version) for info in store.versions()}
    assert [len(ids) for ids in contents.values()] == [16, 20, len(contents["000003"])]

    assert store.rollback("000001").version == "000001"
    assert [info.current for info in store.versions()] == [True, False, False]
    assert store_ids(store) == contents["000001"]
    with pytest.raises(ArtifactMissing, match="before 000001"):
        store.rollback(None)
    with pytest.raises(ArtifactMissing, match="no version '000009'"):
        store.rollback("000009")

    # On another branch than versions 2 and 3: the same items are deleted, and none of those is lost.
    store.delete(contents["000001"][:3])
    contents["000004"] = store_ids(store)
    assert len(contents["000004"]) <= 13
    assert {info.version: store_ids(store, info.version) for info in store.versions()} == contents
    assert store.rollback(None).version == "000003"
    assert store_ids(store) == contents["000003"]


def test_prune_drops_what_no_version_reads(tmp_path: Path, path: Path) -> None:
    drawing = Drawing(7)
    store = lite_store(path)
    for _ in range(2):
        store.publish(pending_version(tmp_path, drawing.rows(3, 3)))
    store.upsert(drawing.rows(1, 1))
    opened = store.open("000001")
    kept = store_ids(store)
    assert store.prune(2) == ["000001"]
    assert sorted(store._connection.collections()) == [
        "aahr_g000002_image",
        "aahr_g000002_text",
        "aahr_v000002",
        "aahr_v000003",
    ]
    with pytest.raises(ArtifactMissing, match="open its current version"):
        opened.search(unit_rows(1), IMAGE, SearchOptions())
    assert store.rollback(None).version == "000002"
    assert store.prune(1) == []  # The newest one, and the current one.
    store.rollback("000003")
    assert store.prune(1) == ["000002"]
    assert store_ids(store) == kept
    with pytest.raises(InvalidInput, match="keep is 0"):
        store.prune(0)


def test_few_copies_are_kept(tmp_path: Path, path: Path) -> None:
    store = lite_store(path)
    for seed in range(5):
        store.publish(pending_version(tmp_path, Drawing(seed).rows(2, 0)))
    assert [info.version for info in store.versions()] == ["000003", "000004", "000005"]


def test_captions_can_be_replaced_with_their_image(tmp_path: Path, path: Path) -> None:
    drawing = Drawing(8)
    store = lite_store(path)
    store.publish(pending_version(tmp_path, drawing.rows(2, 9)))
    item = next(item for item in map(store.open().item, store_ids(store)) if item.modality is IMAGE)
    others = [found for found in map(store.open().item, store_ids(store)) if found.uri != item.uri]
    info = store.upsert(
        {IMAGE: pending_rows([item], unit_rows(1)), **drawing_texts(drawing, item.uri)}, replace_captions=True
    )
    assert info.texts == sum(other.modality is TEXT for other in others) + 1
    assert info.kind == "upsert"


def test_a_store_that_was_never_written_to(path: Path) -> None:
    store = lite_store(path)
    assert store.versions() == []
    for call in (store.open, store.compact, lambda: store.delete(["a"]), lambda: store.upsert({})):
        with pytest.raises(ArtifactMissing, match=r"aahr index rebuild --out 'milvus:.*gallery\.db#aahr'"):
            call()


def drawing_texts(drawing: Drawing, uri: str) -> dict[Modality, PendingRows]:
    return {TEXT: drawing.rows(0, 1, of=[uri])[TEXT]}


def store_ids(store: MilvusStore, version: str | None = None) -> list[str]:
    """The ids of all items, those of images first."""
    opened = store.open(version)
    found = []
    for modality in Modality:
        (hits,) = opened.search(unit_rows(1), modality, SearchOptions(limit=1000))
        assert len(hits) == opened.count(modality)
        found += sorted(hit.item.id for hit in hits)
    opened.close()
    return found


def test_a_rebuild_is_told_what_the_version_knows(tmp_path: Path, path: Path) -> None:
    drawing = Drawing(9)
    rows = drawing.rows(5, 5)
    fingerprints = [bytes([number]) * 32 for number in range(5)]
    fingerprints[4] = fingerprints[3][:20] + bytes(12)  # Alike at the beginning: neither is taken for the other.
    images = rows[IMAGE]
    descriptions = ["a dog", None, "a cat", None, None]
    cells = zip(images.metadata.to_pylist(), fingerprints, descriptions, strict=True)
    lines = [{**row, "fingerprint": fingerprint, "description": words} for row, fingerprint, words in cells]
    table = pa.Table.from_pylist(lines, schema=SCHEMA)
    store = lite_store(path)
    store.publish(pending_version(tmp_path, {**rows, IMAGE: PendingRows(images.vectors, table)}))
    known = store.open().known()
    known_by = list(map(image_digest, fingerprints, descriptions))
    asked = [known_by[2], b"\xff" * 32, known_by[0], known_by[2][:31] + b"\xff", known_by[2]]
    found, vectors = known(IMAGE, asked)
    assert found.tolist() == [True, False, True, False, True]
    assert np.array_equal(vectors, images.vectors[[2, 0, 2]])
    described_otherwise = [fingerprints[2], image_digest(fingerprints[2], "a bat"), image_digest(fingerprints[1], "")]
    assert known(IMAGE, described_otherwise)[0].tolist() == [False, False, False]
    captions = rows[TEXT].metadata["caption"].to_pylist()
    found, vectors = known(TEXT, [text_digest(captions[1]), text_digest("no such")])
    assert found.tolist() == [True, False]
    assert np.array_equal(vectors, rows[TEXT].vectors[[1]])
    assert known(TEXT, [])[0].tolist() == []
    assert known.model_id == store.open().model.model_id

    store.delete([table["id"][2].as_py()])
    again = store.open().known()
    assert again.key != known.key
    assert again(IMAGE, asked[:1])[0].tolist() == [False]
