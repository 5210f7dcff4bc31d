"""How far a rebuild is, as another process sees it."""

from pathlib import Path

import pytest

from index.collection.open import open_store
from index.progress import Advance
from index.rebuild_progress import Counted, progress_file, read_progress
from tests.galleries import build_gallery


def test_what_is_counted_reaches_the_terminal_and_the_file(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    def track(name: str, total: int) -> Advance:
        told.append((name, total))
        return lambda count: told.append((name, count))

    work = tmp_path / "work"
    with progress_file(work) as progress:
        follow = progress.follow(track)
        images, captions = follow("images", 8), follow("captions", 40)
        images(3)
        captions(5)
        images(2)
        progress.publish()
        state = read_progress(work)
        assert state is not None
        assert state.items == {"images": Counted(done=5, total=8), "captions": Counted(done=5, total=40)}
        assert state.stage == "publishing"
        assert state.started_at <= state.updated_at
    assert told == [("images", 8), ("captions", 40), ("images", 3), ("captions", 5), ("images", 2)]
    assert read_progress(work) is None
    assert list(tmp_path.iterdir()) == []


def test_a_rebuild_that_fails_leaves_no_state(tmp_path: Path) -> None:
    def fail() -> None:
        with progress_file(tmp_path / "work") as progress:
            progress.publish()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_progress(tmp_path / "work") is None


def test_nobody_has_to_be_able_to_look_on(tmp_path: Path) -> None:
    with progress_file(tmp_path / "gone" / "work") as progress:
        progress.publish()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_state_is_none(tmp_path: Path) -> None:
    (tmp_path / "work.progress.json").write_text('{"stage": "embed')
    assert read_progress(tmp_path / "work") is None


def test_a_rebuild_shows_its_state_until_it_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = build_gallery(tmp_path)
    seen = []
    discard = "index.rebuild.discard"
    monkeypatch.setattr(discard, lambda _: seen.append(open_store(gallery.index).rebuilding()))
    gallery.publish()
    (state,) = seen
    assert state is not None
    assert state.stage == "publishing"
    assert state.items["images"].done == state.items["images"].total > 0
    assert open_store(gallery.index).rebuilding() is None
