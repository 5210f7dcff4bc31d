"""Additions, replacements, deletions and compaction of an index directory, and the versions that they make."""

from pathlib import Path

import pytest

from index import deltas
from index.collection import SearchOptions
from index.collection.local import LocalStore
from index.items import Modality, image_item_id, text_item_id
from index.pending import PendingRows
from model.errors import ArtifactError, ArtifactMismatch, ArtifactMissing, InvalidInput, ItemNotFound
from tests.pending import image_rows, pending_version, text_rows, unit_rows, uris_of

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "index")
    store.publish(pending_version(tmp_path))
    return store


def segments_of(store: LocalStore) -> list[tuple[Modality, int, int]]:
    manifest = store.open().manifest
    return [(part.modality, part.rows, part.deleted) for part in manifest.segments]


def test_new_rows_are_found_at_once_beside_the_old_ones(store: LocalStore) -> None:
    added = image_rows(uris_of(3, start=12), seed=9)
    assert store.upsert({IMAGE: added}).images == 15
    collection = store.open()
    hits = collection.search(added.vectors, IMAGE, SearchOptions(limit=15))
    assert [found[0].item.uri for found in hits] == uris_of(3, start=12)
    assert {len({hit.item.id for hit in found}) for found in hits} == {15}
    assert segments_of(store) == [(IMAGE, 12, 0), (IMAGE, 3, 0), (TEXT, 7, 0)]


def test_a_replaced_row_is_found_by_its_new_embedding_alone(store: LocalStore) -> None:
    old = store.open().embedding(image_item_id("p003.jpg"))
    new = image_rows(["p003.jpg"], seed=77, payloads=[{"split": "test"}])
    assert store.upsert({IMAGE: new}).images == 12
    collection = store.open()
    (hits,) = collection.search(old[None], IMAGE, SearchOptions(limit=12))
    assert [hit.item.uri for hit in hits].count("p003.jpg") == 1
    assert collection.item(image_item_id("p003.jpg")).payload == {"split": "test"}
    assert collection.embedding(image_item_id("p003.jpg")).tobytes() == new.vectors[0].tobytes()


def test_additions_join_one_small_segment(store: LocalStore) -> None:
    for start in (12, 14, 16):
        store.upsert({IMAGE: image_rows(uris_of(2, start=start), seed=start)})
    assert segments_of(store) == [(IMAGE, 12, 0), (IMAGE, 6, 0), (TEXT, 7, 0)]


def test_a_segment_that_is_large_is_left_alone(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deltas, "DELTA_ROWS", 2)
    for start in (12, 14, 16):
        store.upsert({IMAGE: image_rows(uris_of(2, start=start), seed=start)})
    assert segments_of(store) == [(IMAGE, 12, 0), (IMAGE, 2, 0), (IMAGE, 2, 0), (IMAGE, 2, 0), (TEXT, 7, 0)]
    assert store.open().count(IMAGE) == 18


def test_captions_go_with_their_image(store: LocalStore) -> None:
    info = store.delete([image_item_id("p000.jpg"), text_item_id("p001.jpg", "caption of p001.jpg", 0)])
    assert (info.images, info.texts) == (11, 5)
    with pytest.raises(ItemNotFound):
        store.open().item(text_item_id("p000.jpg", "caption of p000.jpg", 0))
    assert store.open().item(image_item_id("p001.jpg")).uri == "p001.jpg"


def test_an_unknown_id_deletes_nothing(store: LocalStore) -> None:
    with pytest.raises(ItemNotFound, match=r"'img_unknown' \(1 of 2 ids are unknown\); nothing was deleted"):
        store.delete([image_item_id("p000.jpg"), "img_unknown"])
    assert store.open().count(IMAGE) == 12
    assert len(store.versions()) == 1


def test_an_index_can_be_emptied_and_filled_again(store: LocalStore) -> None:
    store.delete([image_item_id(uri) for uri in uris_of(12)])
    collection = store.open()
    assert (collection.count(IMAGE), collection.count(TEXT)) == (0, 0)
    assert collection.search(unit_rows(2), IMAGE, SearchOptions()) == [[], []]
    assert store.upsert({IMAGE: image_rows(["new.jpg"])}).images == 1


def test_compaction_keeps_what_is_found_and_drops_what_is_deleted(store: LocalStore) -> None:
    store.upsert({IMAGE: image_rows(uris_of(3, start=10), seed=9)})
    store.delete([image_item_id("p000.jpg")])
    before = store.open()
    store.compact()
    after = store.open()
    assert segments_of(store) == [(IMAGE, 12, 0), (TEXT, 6, 0)]
    queries = unit_rows(5, seed=4)
    assert before.search(queries, IMAGE, SearchOptions(limit=20)) == after.search(
        queries, IMAGE, SearchOptions(limit=20)
    )


def test_rows_that_do_not_fit_are_refused_and_nothing_changes(store: LocalStore) -> None:
    other_dimension = PendingRows(unit_rows(1, dimension=4), image_rows(["a.jpg"]).metadata)
    twice = image_rows(["a.jpg", "a.jpg"])
    orphan = text_rows(["nowhere.jpg"])
    confused = image_rows(["a.jpg"])
    text_id = text_item_id("p000.jpg", "caption of p000.jpg", 0)
    confused = PendingRows(
        confused.vectors, confused.metadata.set_column(0, "id", [[text_id]]).cast(confused.metadata.schema)
    )
    for rows, message in [
        ({IMAGE: other_dimension}, "dimension 4 do not fit an index of dimension 8"),
        ({IMAGE: twice}, "given twice"),
        ({TEXT: orphan}, "is not in the index"),
        ({IMAGE: confused}, "not of image but of text"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            store.upsert(rows)
    assert [info.version for info in store.versions()] == ["000001"]


def test_rollback_serves_an_earlier_version_and_numbers_go_on(store: LocalStore) -> None:
    store.delete([image_item_id("p000.jpg")])
    assert store.rollback().version == "000001"
    assert store.open().count(IMAGE) == 12
    assert store.upsert({IMAGE: image_rows(["new.jpg"])}).version == "000003"
    assert store.open().count(IMAGE) == 13, "the change was made to the version that was rolled back to"
    assert [(info.version, info.kind, info.current) for info in store.versions()] == [
        ("000001", "rebuild", False),
        ("000002", "delete", False),
        ("000003", "upsert", True),
    ]
    assert store.rollback("000002").images == 11


def test_rollback_names_the_versions_that_there_are(store: LocalStore) -> None:
    with pytest.raises(ArtifactMissing, match="no version before 000001"):
        store.rollback()
    with pytest.raises(ArtifactMissing, match="no version '000009'; it has 000001"):
        store.rollback("000009")


def test_a_damaged_version_is_not_rolled_back_to(store: LocalStore, tmp_path: Path) -> None:
    store.publish(pending_version(tmp_path, seed=5))
    first = store.open("000001").manifest.segments[0].id
    (store.catalog.segments / first / "vectors.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"vectors\.npy"):
        store.rollback()
    assert store.open().version == "000002"


def test_prune_removes_segments_that_no_version_names(store: LocalStore, tmp_path: Path) -> None:
    store.delete([image_item_id("p000.jpg")])
    store.publish(pending_version(tmp_path, seed=5))
    shared = len(list(store.catalog.segments.iterdir()))
    assert shared == 4, "the change shares the segments of the first version"
    assert store.prune(2) == ["000001"]
    assert len(list(store.catalog.segments.iterdir())) == 4
    assert store.prune(1) == ["000002"]
    assert len(list(store.catalog.segments.iterdir())) == 2
    assert store.open().count(IMAGE) == 12
    with pytest.raises(InvalidInput, match="at least 1"):
        store.prune(0)


def test_the_current_version_is_never_pruned(store: LocalStore, tmp_path: Path) -> None:
    store.publish(pending_version(tmp_path, seed=5))
    store.publish(pending_version(tmp_path, seed=6))
    store.rollback("000001")
    assert store.prune(1) == ["000002"]
    assert store.open().version == "000001"


def test_an_equal_rebuild_shares_its_segments(store: LocalStore, tmp_path: Path) -> None:
    first = store.open()
    store.publish(pending_version(tmp_path))
    second = store.open()
    assert second.version == "000002"
    assert second.index_id == first.index_id
    assert len(list(store.catalog.segments.iterdir())) == 2


def test_three_whole_indexes_are_kept(store: LocalStore, tmp_path: Path) -> None:
    for seed in range(5, 9):
        store.publish(pending_version(tmp_path, seed=seed))
    store.delete([image_item_id("p000.jpg")])
    assert [info.version for info in store.versions()] == ["000003", "000004", "000005", "000006"]
    assert len(list(store.catalog.segments.iterdir())) == 6


def test_a_reader_keeps_the_version_that_it_opened(store: LocalStore, tmp_path: Path) -> None:
    reader = store.open()
    expected = reader.search(unit_rows(3), IMAGE, SearchOptions(limit=12))
    for seed in range(5, 10):
        store.publish(pending_version(tmp_path, seed=seed))
    assert "000001" not in [info.version for info in store.versions()]
    assert reader.search(unit_rows(3), IMAGE, SearchOptions(limit=12)) == expected


def test_rows_of_another_model_or_of_other_images_are_refused(store: LocalStore, tmp_path: Path) -> None:
    base = store.open()
    (tmp_path / "elsewhere").mkdir()
    store.publish(pending_version(tmp_path / "elsewhere"))
    with pytest.raises(ArtifactMismatch, match="embed them again"):
        store.upsert({IMAGE: image_rows(["new.jpg"])}, base=base)
    assert store.upsert({IMAGE: image_rows(["new.jpg"])}, base=store.open()).images == 13


def test_what_the_base_has_open_is_not_read_again(store: LocalStore) -> None:
    base = store.open()
    vectors = store.catalog.segments / base.snapshot.segments[0].id / "vectors.npy"
    vectors.rename(vectors.with_suffix(".gone"))
    with pytest.raises(ArtifactMissing):
        store.upsert({IMAGE: image_rows(["new.jpg"])})
    assert store.upsert({IMAGE: image_rows(["new.jpg"])}, base=base).images == 13
