"""A version that does not answer as it should is not published."""

from pathlib import Path

import numpy as np
import pytest

from index.ann import build_ann
from index.collection.local import LocalStore
from index.items import Embeddings, Modality
from index.segment import Segment
from model.errors import ArtifactCorrupt
from tests.pending import image_rows, pending_version, unit_rows, uris_of


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "index", {"kind": "ivf-sq8"})
    store.publish(pending_version(tmp_path, images=400, texts=0))
    return store


def publish_with(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Embeddings) -> None:
    """Publish 400 other rows, whose nearest-neighbour index was built of `other` vectors."""
    with monkeypatch.context() as patched:
        patched.setattr(
            "index.segment.build_ann", lambda vectors, **_: build_ann(other[: len(vectors)], kind="ivf-sq8")
        )
        store.publish(pending_version(tmp_path, images=400, texts=0, seed=5))


def test_an_index_of_other_vectors_is_not_published(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArtifactCorrupt, match="of the new image rows find themselves"):
        publish_with(store, tmp_path, monkeypatch, unit_rows(400, seed=99))
    assert store.open().version == "000001"


def test_an_index_that_finds_less_than_in_tuning_is_not_published(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Segment.search

    def half_blind(self: Segment, queries: Embeddings, wanted: int, **options: object) -> object:
        found = search(self, queries, wanted, **options)  # type: ignore[arg-type]
        if wanted == 1:
            return found
        return [each._replace(scores=np.where(np.arange(len(each.scores)) % 2, -1, each.scores)) for each in found]

    with monkeypatch.context() as patched:
        patched.setattr(Segment, "search", half_blind)
        with pytest.raises(ArtifactCorrupt, match=r"recall@10 of the new image rows is 0\.50"):
            store.publish(pending_version(tmp_path, images=400, texts=0, seed=5))
    assert store.open().version == "000001"
    assert store.publish(pending_version(tmp_path, images=400, texts=0, seed=5)).version == "000002"


def test_what_was_chosen_and_measured_is_said(store: LocalStore, tmp_path: Path) -> None:
    (note,) = store.publish(pending_version(tmp_path, images=300, texts=0)).notes
    assert note.startswith("300 image rows: ivf-sq8, recall@10 ")
    assert note.endswith(" bytes a vector")
    assert store.upsert({Modality.IMAGE: image_rows(uris_of(2, start=500))}).notes == ()
