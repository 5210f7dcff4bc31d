"""Rankings with hubs held back, beside a slow oracle: after a rebuild, additions, deletions and compaction."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.collection import Hit, SearchOptions
from index.collection.local import LocalCollection, LocalStore
from index.items import Modality, image_item_id
from model.errors import ArtifactCorrupt
from model.hubness import TEMPERATURE, WEIGHT
from tests.pending import image_rows, pending_version, text_rows, unit_rows, uris_of

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT
QUERIES = unit_rows(9, seed=99)
NORMALISED = SearchOptions(limit=20, normalise=True)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """So many captions, one of each image, that all of them are the bank."""
    store = LocalStore(tmp_path / "index")
    store.publish(pending_version(tmp_path, images=160, texts=150))
    return store


def rows_of(collection: LocalCollection, modality: Modality) -> dict[str, tuple[str, NDArray[np.float64]]]:
    items = list(collection.items(modality))
    return {item.id: (item.uri, collection.embedding(item.id).astype(np.float64)) for item in items}


def hubness_of(own: str, vector: NDArray[np.float64], bank: dict[str, tuple[str, NDArray[np.float64]]]) -> float:
    cosines = np.array([-1.0 if uri == own else vector @ other for uri, other in bank.values()])
    return float(TEMPERATURE * np.log(np.exp(cosines / TEMPERATURE).mean()))


def check(
    collection: LocalCollection, modality: Modality, bank: dict[str, tuple[str, NDArray[np.float64]]]
) -> list[list[Hit]]:
    rows = rows_of(collection, modality)
    hubs = {item_id: hubness_of(uri, vector, bank) for item_id, (uri, vector) in rows.items()}
    found = collection.search(QUERIES, modality, NORMALISED)
    for query, hits in zip(QUERIES.astype(np.float64), found, strict=True):
        scores = {item_id: float(vector @ query) for item_id, (_, vector) in rows.items()}
        ranked = sorted(scores, key=lambda item_id: WEIGHT * hubs[item_id] - scores[item_id])
        assert [hit.item.id for hit in hits] == ranked[:20]
        assert [hit.score for hit in hits] == pytest.approx([scores[item_id] for item_id in ranked[:20]], abs=1e-5)
        expected = [scores[item_id] - WEIGHT * hubs[item_id] for item_id in ranked[:20]]
        assert [hit.rank_score for hit in hits] == pytest.approx(expected, abs=1e-5)
    return found


@pytest.mark.parametrize("modality", list(Modality))
def test_the_best_are_ranked_by_cosine_less_half_the_hubness(store: LocalStore, modality: Modality) -> None:
    collection = store.open()
    assert collection.normalised(modality)
    found = check(collection, modality, rows_of(collection, modality.other))
    plain = collection.search(QUERIES, modality, SearchOptions(limit=20))
    assert [hit.rank_score for hits in plain for hit in hits] == [None] * 180
    assert [[hit.item.id for hit in hits] for hits in found] != [[hit.item.id for hit in hits] for hits in plain]


def test_items_that_come_later_are_measured_by_the_same_bank(store: LocalStore) -> None:
    bank = rows_of(store.open(), TEXT)
    added = uris_of(15, start=160)
    store.upsert({IMAGE: image_rows(added, seed=7), TEXT: text_rows(added, seed=8)})
    collection = store.open()
    assert len(collection.manifest.segments) == 4
    check(collection, IMAGE, bank)
    store.delete([image_item_id(uri) for uri in uris_of(20)])
    check(store.open(), IMAGE, bank)


def test_a_compaction_measures_anew(store: LocalStore) -> None:
    store.delete([image_item_id(uri) for uri in uris_of(20)])
    store.compact()
    collection = store.open()
    assert collection.count(TEXT) == 130
    check(collection, IMAGE, rows_of(collection, TEXT))
    check(collection, TEXT, rows_of(collection, IMAGE))


def test_pages_and_thresholds_hold_for_the_ranking(store: LocalStore) -> None:
    collection = store.open()
    whole = collection.search(QUERIES, IMAGE, SearchOptions(limit=60, normalise=True))
    for offset in (0, 7, 40):
        part = collection.search(QUERIES, IMAGE, SearchOptions(limit=13, offset=offset, normalise=True))
        assert part == [hits[offset : offset + 13] for hits in whole]
    above = collection.search(QUERIES, IMAGE, SearchOptions(limit=20, score_threshold=0.4, normalise=True))
    assert above == [[hit for hit in hits if hit.score >= 0.4][:20] for hits in whole]


def test_too_few_captions_or_the_wish_leave_the_cosine(tmp_path: Path) -> None:
    few, unwanted = LocalStore(tmp_path / "few"), LocalStore(tmp_path / "unwanted", normalise=False)
    few.publish(pending_version(tmp_path, images=160, texts=99))
    unwanted.publish(pending_version(tmp_path, images=160, texts=150))
    assert [few.open().normalised(IMAGE), few.open().normalised(TEXT)] == [False, True]
    for store in (few, unwanted):
        collection = store.open()
        assert collection.search(QUERIES, IMAGE, NORMALISED) == collection.search(
            QUERIES, IMAGE, SearchOptions(limit=20)
        )
    unwanted.compact()
    assert not unwanted.open().normalised(IMAGE)


def test_without_the_bank_new_items_end_the_normalisation(store: LocalStore) -> None:
    captions = [item.id for item in store.open().items(TEXT)]
    store.delete(captions)
    assert store.open().normalised(IMAGE)
    store.upsert({IMAGE: image_rows(uris_of(2, start=160), seed=7)})
    collection = store.open()
    assert not collection.normalised(IMAGE)
    assert collection.search(QUERIES, IMAGE, NORMALISED) == collection.search(QUERIES, IMAGE, SearchOptions(limit=20))


def test_a_damaged_hubness_is_refused(store: LocalStore) -> None:
    for file in store.catalog.segments.glob("*/hubness.npy"):
        file.write_bytes(b"nothing")
    with pytest.raises(ArtifactCorrupt):
        LocalStore(store.catalog.directory).open()
