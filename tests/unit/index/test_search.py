from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.items import Modality
from index.search import LoadedIndex, check_model, resolve_target
from model.errors import ArtifactMismatch, InvalidInput, ItemNotFound
from tests.unit.index.drafts import DIMENSION, make_draft, publish_draft, unit_rows

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT


@dataclass(frozen=True)
class Model:
    model_id: str = "0123456789abcdef"
    dimension: int = DIMENSION


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("search")
    (root / "images").mkdir()
    (root / "model").mkdir()
    (root / "images" / "p001.jpg").write_bytes(b"picture")
    return root


@pytest.fixture(scope="module")
def index(root: Path) -> LoadedIndex:
    return publish_draft(root / "index", make_draft(root, images=90, texts=30))


@pytest.fixture(scope="module")
def captionless(root: Path) -> LoadedIndex:
    return publish_draft(root / "captionless", make_draft(root, texts=0))


def embeddings_of(index: LoadedIndex, modality: Modality) -> NDArray[np.float32]:
    return np.stack([index.embedding_of(item.id) for item in index.gallery.of(modality)])


def slow_search(
    index: LoadedIndex, query: NDArray[np.float32], target: Modality, limit: int, offset: int, threshold: float | None
) -> list[str]:
    """Score everything, drop what is below the threshold, sort, cut the page out."""
    scores = embeddings_of(index, target).astype(float) @ query.astype(float)
    scored = sorted(
        (-np.float32(score), row)
        for row, score in enumerate(scores)
        if threshold is None or np.float32(score) >= threshold
    )
    return [index.gallery.of(target)[row].id for _, row in scored[offset : offset + limit]]


@given(
    seed=st.integers(0, 50),
    target=st.sampled_from([IMAGE, TEXT]),
    limit=st.integers(1, 100),
    offset=st.integers(0, 100),
    threshold=st.none() | st.floats(-1.0, 1.0),
)
def test_search_equals_brute_force(
    seed: int, target: Modality, limit: int, offset: int, threshold: float | None, index: LoadedIndex
) -> None:
    queries = unit_rows(2, seed=seed)
    found = index.search(queries, target, limit, offset, threshold)
    for query, hits in zip(queries, found, strict=True):
        assert [hit.item.id for hit in hits] == slow_search(index, query, target, limit, offset, threshold)


def test_offset_past_the_last_item_ranks_nothing(index: LoadedIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    def ranked(*_: object) -> None:
        raise AssertionError("rows were ranked")

    monkeypatch.setattr("index.search.best_rows", ranked)
    assert index.search(unit_rows(2), IMAGE, 10, 90) == [[], []]
    with pytest.raises(AssertionError, match="ranked"):
        index.search(unit_rows(2), IMAGE, 10, 89)


def test_pages_neither_overlap_nor_leave_gaps_among_equal_scores(root: Path) -> None:
    draft = make_draft(root, images=90)
    same = np.tile(unit_rows(3), (30, 1))
    index = publish_draft(root / "equal", replace(draft, embeddings={**draft.embeddings, IMAGE: same}))
    pages = [index.search(same[:1], IMAGE, 7, offset)[0] for offset in range(0, 91, 7)]
    items = [hit.item for page in pages for hit in page]
    assert items == [hit.item for hit in index.search(same[:1], IMAGE, 90)[0]]
    assert len({item.id for item in items}) == 90
    assert [item.uri for item in items[:30]] == [f"p{row:03d}.jpg" for row in range(0, 90, 3)]


def test_scores_are_cosines_and_a_returned_score_passes_as_threshold(index: LoadedIndex) -> None:
    query = index.embedding_of(index.gallery.images[4].id)
    (hits,) = index.search(query[None], IMAGE, 5)
    assert hits[0].item is index.gallery.images[4]
    assert hits[0].score == pytest.approx(1.0, abs=1e-6)
    (above,) = index.search(query[None], IMAGE, 5, score_threshold=hits[2].score)
    assert above == hits[:3]


def test_no_query_and_no_rows_give_nothing(index: LoadedIndex, captionless: LoadedIndex) -> None:
    assert index.search(np.empty((0, DIMENSION), np.float32), IMAGE, 5) == []
    assert captionless.search(unit_rows(2), TEXT, 5) == [[], []]
    assert index.search(unit_rows(1), IMAGE, 5, offset=10**9) == [[]]


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.zeros((1, 7), np.float32), r"shape \(1, 7\)"),
        (np.zeros(DIMENSION, np.float32), r"shape \(8,\)"),
        (np.full((1, DIMENSION), np.nan, np.float32), "not finite"),
        (np.full((1, DIMENSION), np.inf, np.float32), "not finite"),
    ],
)
def test_faulty_queries_are_refused_and_the_next_one_works(
    index: LoadedIndex, queries: NDArray[np.float32], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        index.search(queries, IMAGE, 3)
    assert len(index.search(unit_rows(1), IMAGE, 3)[0]) == 3


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (-1, 0), (1, -1)])
def test_faulty_pages_are_refused(index: LoadedIndex, limit: int, offset: int) -> None:
    with pytest.raises(InvalidInput, match=f"limit {limit} and offset {offset}"):
        index.search(unit_rows(1), IMAGE, limit, offset)


def test_items_by_id(index: LoadedIndex) -> None:
    item = index.gallery.texts[3]
    assert index.item(item.id) is item
    assert len(index.items) == 120
    with pytest.raises(ItemNotFound, match="img_0"):
        index.item("img_0")
    with pytest.raises(ItemNotFound):
        index.embedding_of("img_0")
    with pytest.raises(ItemNotFound):
        index.image_path("img_0")


def test_the_picture_of_an_item_and_of_its_caption(index: LoadedIndex, root: Path) -> None:
    expected = (root / "images" / "p001.jpg").resolve()
    assert index.image_path(index.gallery.images[1].id) == expected
    assert index.image_path(index.gallery.texts[1].id) == expected
    with pytest.raises(ItemNotFound, match=r"p002\.jpg is no longer in"):
        index.image_path(index.gallery.images[2].id)


@pytest.mark.parametrize("uri", ["../secret.jpg", "/etc/passwd", "link.jpg", "sub/../../secret.jpg"])
def test_no_file_outside_of_the_images_is_given_out(index: LoadedIndex, root: Path, uri: str) -> None:
    (root / "secret.jpg").write_bytes(b"secret")
    link = root / "images" / "link.jpg"
    link.unlink(missing_ok=True)
    link.symlink_to(root / "secret.jpg")
    hostile = replace(index.gallery.images[1], id="img_hostile", uri=uri)
    tampered = LoadedIndex(index.directory, index.manifest, replace(index.gallery, images=(hostile,)), {})
    with pytest.raises(ItemNotFound, match="lies outside"):
        tampered.image_path("img_hostile")


def test_an_index_of_another_model_is_refused_with_both_names(index: LoadedIndex) -> None:
    check_model(index, Model())
    with pytest.raises(ArtifactMismatch, match=r"0123456789abcdef .*feedfeedfeedfeed .*aahr index rebuild"):
        check_model(index, Model(model_id="feedfeedfeedfeed"))
    with pytest.raises(ArtifactMismatch, match="dimension 9"):
        check_model(index, Model(dimension=9))


def test_a_query_searches_the_other_modality_unless_it_says_otherwise(index: LoadedIndex) -> None:
    assert resolve_target(TEXT, None, index) == (IMAGE, None)
    assert resolve_target(IMAGE, None, index) == (TEXT, None)
    assert resolve_target(IMAGE, IMAGE, index) == (IMAGE, None)
    assert resolve_target(TEXT, TEXT, index) == (TEXT, None)


def test_without_captions_pictures_find_similar_pictures_and_the_answer_says_so(captionless: LoadedIndex) -> None:
    target, note = resolve_target(IMAGE, None, captionless)
    assert target is IMAGE
    assert note is not None
    assert "similar images" in note
    assert resolve_target(TEXT, None, captionless) == (IMAGE, None)
    for query in Modality:
        target, note = resolve_target(query, TEXT, captionless)
        assert target is TEXT
        assert note is not None
        assert "no captions" in note


def test_an_index_that_moved_finds_model_and_pictures_on_the_same_way(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for name in ("model", "images"):
        (before / name).mkdir(parents=True)
    (before / "images" / "p000.jpg").write_bytes(b"picture")
    index = publish_draft(before / "index", make_draft(before))
    assert index.model_directory == before / "model"
    before.rename(after)
    moved = LoadedIndex(after / "index", index.manifest, index.gallery, {})
    assert moved.model_directory == after / "model"
    assert moved.image_path(index.gallery.images[0].id) == after / "images" / "p000.jpg"
    (after / "model").rmdir()
    assert moved.model_directory == before / "model", "the recorded place is what an error has to name"
