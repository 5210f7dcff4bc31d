"""The suite that every collection passes: random rows, filters, changes and pages, beside a slow and obvious oracle.

A test class of a collection derives from CollectionSuite and says how a subject is made:

    class TestBrute(CollectionSuite):
        def subject(self, root: Path) -> Subject:
            return BruteSubject()

A store is made a subject by `StoreSubject`. The seed of a test is part of its name. What is compared depends on what
the collection promises by its `ordering`.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.collection import SearchOptions
from index.filters import Filter, parse_filter
from index.items import Item, Modality
from index.pending import PendingRows
from model.errors import InvalidInput, ItemNotFound
from tests.collections_data import (
    DIMENSION,
    Drawing,
    image_item,
    pending_rows,
    pending_version,
    text_item,
    unit_rows,
    write_images,
)
from tests.unit.index.collection.oracle import Oracle, check_search, score
from tests.unit.index.collection.trial import Subject, Trial

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT


class CollectionSuite:
    """See the top of this file."""

    seeds = 3
    changes = 4
    images, texts = 60, 90
    tolerance = 1e-6

    def subject(self, root: Path) -> Subject:
        """A subject of its own for each test, below an empty directory."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "seed" in metafunc.fixturenames:
            metafunc.parametrize("seed", range(type(self).seeds))

    def trial(self, root: Path, rows: Mapping[Modality, PendingRows]) -> Trial:
        return Trial(self.subject(root), root, rows, self.tolerance)

    def test_random_changes(self, seed: int, tmp_path: Path) -> None:
        drawing = Drawing(seed)
        trial = self.trial(tmp_path, drawing.rows(self.images, self.texts))
        trial.check(drawing)
        for change in range(self.changes):
            before = trial.collection.index_id
            if change % 2:
                trial.delete(drawing.ids(list(trial.oracle.entries), 12))
            else:
                uris = [item.uri for item in trial.oracle.items(IMAGE)[:20]]
                trial.upsert(drawing.rows(6, 12, of=uris))
                changed = drawing.ids(list(trial.oracle.entries), 9)
                trial.upsert(drawing.redrawn([trial.oracle.entries[item_id].item for item_id in changed]))
            assert trial.collection.index_id != before
            trial.check(drawing, filters=4)

    def test_pages_cover_everything_once(self, seed: int, tmp_path: Path) -> None:
        drawing = Drawing(seed)
        trial = self.trial(tmp_path, drawing.rows(self.images, self.texts))
        queries = drawing.queries(trial.oracle.vectors(TEXT, DIMENSION))[::2]
        for chosen in (None, parse_filter({"must_not": [{"key": "flag", "match": {"value": True}}]})):
            pages = [
                trial.search(queries, TEXT, SearchOptions(limit=17, offset=offset, filter=chosen))
                for offset in range(0, self.texts + 17, 17)
            ]
            for walked in zip(*pages, strict=True):
                ids = [item_id for page in walked for item_id in page]
                if trial.collection.ordering(TEXT).ties == "id":
                    assert len(set(ids)) == len(ids)
                    assert not trial.collection.ordering(TEXT).complete or set(ids) == _allowed(trial.oracle, chosen)

    def test_equal_vectors_fill_any_limit(self, tmp_path: Path) -> None:
        vectors = np.repeat(unit_rows(2), [30, 5], axis=0)
        items = [image_item(f"{number}.jpg") for number in range(35)]
        trial = self.trial(tmp_path, {IMAGE: pending_rows(items, vectors)})
        for limit, offset in ((1, 0), (7, 0), (7, 7), (29, 0), (30, 0), (31, 0), (35, 0), (36, 0), (10, 28), (5, 34)):
            (found,) = trial.search(vectors[:1], IMAGE, SearchOptions(limit=limit, offset=offset))
            assert len(found) == min(limit, 35 - offset)

    def test_a_threshold_counts_hits_of_at_least_that_score(self, seed: int, tmp_path: Path) -> None:
        drawing = Drawing(seed)
        trial = self.trial(tmp_path, drawing.rows(self.images, 0))
        queries = drawing.queries(trial.oracle.vectors(IMAGE, DIMENSION))
        own = score(queries[0], trial.oracle.of(IMAGE)[3].vector)  # Equal to the score of an item: it counts.
        for threshold in (-2.0, 0.0, own, 0.5, 1.5):
            for offset in (0, 4):
                trial.search(queries, IMAGE, SearchOptions(limit=100, offset=offset, score_threshold=threshold))

    def test_offsets_and_limits_beyond_the_size(self, tmp_path: Path) -> None:
        trial = self.trial(tmp_path, Drawing(0).rows(10, 0))
        assert trial.search(unit_rows(2), IMAGE, SearchOptions(offset=10**9)) == [[], []]
        assert [len(ids) for ids in trial.search(unit_rows(2), IMAGE, SearchOptions(limit=10**6))] == [10, 10]
        assert trial.search(unit_rows(0), IMAGE, SearchOptions()) == []

    def test_a_modality_without_items(self, tmp_path: Path) -> None:
        drawing = Drawing(0)
        trial = self.trial(tmp_path, drawing.rows(5, 0))
        assert trial.collection.count(TEXT) == 0
        assert trial.search(unit_rows(2), TEXT, SearchOptions()) == [[], []]
        assert trial.search(unit_rows(2), TEXT, SearchOptions(filter=drawing.filter([]))) == [[], []]
        trial.upsert(drawing.rows(0, 4, of=[item.uri for item in trial.oracle.items(IMAGE)]))
        trial.check(drawing)
        trial.delete([item.id for item in trial.oracle.items(TEXT)])
        assert trial.search(unit_rows(2), TEXT, SearchOptions()) == [[], []]
        trial.check(drawing)

    def test_a_filter_that_few_or_no_items_pass(self, tmp_path: Path) -> None:
        drawing = Drawing(1)
        trial = self.trial(tmp_path, drawing.rows(self.images, 0))
        for wanted in ([], ["no such"], [item.id for item in trial.oracle.items(IMAGE)[7:9]]):
            chosen = parse_filter({"must": [{"key": "id", "match": {"any": wanted}}]})
            for ids in trial.search(unit_rows(3), IMAGE, SearchOptions(filter=chosen)):
                assert set(ids) == set(wanted) - {"no such"}

    @pytest.mark.parametrize(
        ("queries", "options"),
        [
            (np.zeros((1, DIMENSION + 1), np.float32), SearchOptions()),
            (np.zeros(DIMENSION, np.float32), SearchOptions()),
            (np.full((1, DIMENSION), np.nan, np.float32), SearchOptions()),
            (np.full((1, DIMENSION), np.inf, np.float32), SearchOptions()),
            (unit_rows(1), SearchOptions(limit=0)),
            (unit_rows(1), SearchOptions(offset=-1)),
            (unit_rows(1), SearchOptions(params={"no_such_parameter": 1})),
        ],
    )
    @pytest.mark.parametrize("texts", [0, 3])
    def test_a_bad_query_is_refused_and_the_next_is_answered(
        self, queries: Any, options: SearchOptions, texts: int, tmp_path: Path
    ) -> None:
        trial = self.trial(tmp_path, Drawing(0).rows(4, texts))
        with pytest.raises(InvalidInput) as raised:
            trial.collection.search(queries, TEXT, options)
        assert "\n" not in str(raised.value)
        assert len(trial.search(unit_rows(1), TEXT, SearchOptions())[0]) == texts

    def test_unknown_and_deleted_ids(self, tmp_path: Path) -> None:
        trial = self.trial(tmp_path, Drawing(0).rows(6, 9))
        image, caption = trial.oracle.items(IMAGE)[0], trial.oracle.items(TEXT)[0]
        trial.delete([image.id])
        if caption.id in trial.oracle.entries:  # It may have gone with the image.
            trial.delete([caption.id])
        for unknown in (image.id, caption.id, "no such", "", "'\"", "é" * 1000):
            for method in (trial.collection.item, trial.collection.embedding, trial.collection.image_path):
                with pytest.raises(ItemNotFound):
                    method(unknown)
        trial.check(Drawing(1), filters=1)

    def test_captions_go_with_their_image(self, tmp_path: Path) -> None:
        drawing = Drawing(0)
        trial = self.trial(tmp_path, drawing.rows(4, 20))
        image = trial.oracle.items(IMAGE)[0]
        trial.delete([image.id])
        assert trial.collection.count(TEXT) == len([item for item in trial.oracle.items(TEXT) if item.uri != image.uri])
        assert 0 < trial.collection.count(TEXT) < 20
        trial.check(drawing)

    def test_what_was_deleted_can_be_added_again(self, tmp_path: Path) -> None:
        drawing = Drawing(2)
        trial = self.trial(tmp_path, drawing.rows(8, 8))
        gone = trial.oracle.items(IMAGE)[:3]
        trial.delete([item.id for item in gone])
        trial.upsert(drawing.redrawn(gone))
        trial.check(drawing)
        assert trial.collection.count(IMAGE) == 8

    def test_a_refused_change_changes_nothing(self, tmp_path: Path) -> None:
        drawing = Drawing(0)
        trial = self.trial(tmp_path, drawing.rows(4, 4))
        image = trial.oracle.items(IMAGE)[0]
        with pytest.raises(ItemNotFound):
            trial.subject.delete([image.id, "no such"])
        for rows in _refused(image):
            with pytest.raises(InvalidInput) as raised:
                trial.subject.upsert(rows)
            assert "\n" not in str(raised.value)
        trial.check(drawing)
        trial.upsert(drawing.redrawn([image]))
        trial.check(drawing)

    def test_an_open_version_stays_as_it_was(self, tmp_path: Path) -> None:
        drawing = Drawing(3)
        trial = self.trial(tmp_path, drawing.rows(10, 10))
        opened, before = trial.collection, Oracle({})
        before.entries = dict(trial.oracle.entries)
        trial.delete([item.id for item in trial.oracle.items(IMAGE)[:4]])
        trial.upsert(drawing.rows(3, 3))
        for target in Modality:
            check_search(opened, before, unit_rows(3), target, SearchOptions(limit=30), self.tolerance)
            assert opened.count(target) == 10

    def test_many_threads_at_once(self, tmp_path: Path) -> None:
        drawing = Drawing(4)
        trial = self.trial(tmp_path, drawing.rows(self.images, self.texts))
        chosen = [None, *(drawing.filter(trial.oracle.items(IMAGE)) for _ in range(7))]
        with ThreadPoolExecutor(8) as threads:
            done = [
                threads.submit(trial.search, unit_rows(3, seed=number), IMAGE, SearchOptions(filter=filter))
                for number, filter in enumerate(chosen * 2)
            ]
            assert len([each.result() for each in done]) == 16

    def test_image_paths_stay_below_the_images_root(self, tmp_path: Path) -> None:
        items = [image_item(uri) for uri in ("a.jpg", "b/Ü.jpg", "../outside.jpg", "link.jpg", "gone.jpg")]
        captions = [text_item("b/Ü.jpg", "a caption")]
        rows = {IMAGE: pending_rows(items, unit_rows(5)), TEXT: pending_rows(captions, unit_rows(1))}
        pending = pending_version(tmp_path, rows)
        write_images(pending)
        (pending.images_root / "gone.jpg").unlink()
        (pending.images_root / "link.jpg").unlink()
        (pending.images_root / "link.jpg").symlink_to(tmp_path / "outside.jpg")
        collection = self.subject(tmp_path).build(pending)
        for item in (items[0], items[1], captions[0]):
            assert collection.image_path(item.id).samefile(pending.images_root / item.uri)
        for item in items[2:]:
            with pytest.raises(ItemNotFound) as raised:
                collection.image_path(item.id)
            assert str(tmp_path) not in str(raised.value)


def _refused(image: Item) -> list[dict[Modality, PendingRows]]:
    """Rows of another dimension, an id twice, an id of the other modality, a caption without its image."""
    as_text = Item(image.id, TEXT, image.uri, "a caption")
    return [
        {IMAGE: pending_rows([image_item("new.jpg")], unit_rows(1, dimension=DIMENSION + 1))},
        {IMAGE: pending_rows([image_item("new.jpg")] * 2, unit_rows(2))},
        {TEXT: pending_rows([as_text], unit_rows(1))},
        {TEXT: pending_rows([text_item("nowhere.jpg", "a caption")], unit_rows(1))},
    ]


def _allowed(oracle: Oracle, chosen: Filter | None) -> set[str]:
    return {hit.item.id for hit in oracle.ranked(unit_rows(1)[0], TEXT, SearchOptions(filter=chosen))}
