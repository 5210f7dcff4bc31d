"""Changes of a Milvus store are all or nothing: killed at every write, refused beside another, never half seen."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from pymilvus import MilvusException

from index.collection import SearchOptions
from index.collection.milvus import lock
from index.collection.milvus import store as milvus_store
from index.collection.milvus.store import MilvusStore
from index.items import Modality
from index.pending import PendingRows
from model.errors import ArtifactCorrupt, ArtifactError, InvalidInput
from tests.collections_data import Drawing, image_item, pending_rows, pending_version, unit_rows
from tests.unit.index.collection.milvus_lite import Killed, dying_store, lite_store, served

IMAGE = Modality.IMAGE


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with served(tmp_path) as path:
        yield path


@dataclass(frozen=True)
class State:
    """What a reader sees: the current version, and its answers to a search for everything."""

    version: str
    index_id: str
    answers: tuple[tuple[str, float], ...]

    @property
    def ids(self) -> set[str]:
        return {item_id for item_id, _ in self.answers}


def read(store: MilvusStore) -> State:
    opened = store.open()
    answers = []
    for modality in Modality:
        (hits,) = opened.search(unit_rows(1), modality, SearchOptions(limit=1000))
        assert len(hits) == opened.count(modality) == opened.stored(modality)
        answers += [(hit.item.id, hit.score) for hit in hits]
    opened.close()
    return State(opened.version, opened.index_id, tuple(answers))


@dataclass(frozen=True)
class Change:
    """A change, and what is to be seen after it."""

    run: Callable[[MilvusStore], object]
    version: str
    ids: set[str]


def names(store: MilvusStore) -> list[str]:
    return [info.version for info in store.versions()]


def ids_of(rows: Mapping[Modality, PendingRows]) -> set[str]:
    return {item_id for pending in rows.values() for item_id in pending.metadata["id"].to_pylist()}


def draw_change(kind: str, root: Path, drawing: Drawing, before: State, first: set[str]) -> Change:
    rows = drawing.rows(2, 2)
    gone = next(item_id for item_id in sorted(before.ids) if item_id.startswith("txt"))
    return {
        "publish": Change(lambda store: store.publish(pending_version(root, rows)), "", ids_of(rows)),
        "upsert": Change(lambda store: store.upsert(rows), "", before.ids | ids_of(rows)),
        "delete": Change(lambda store: store.delete([gone]), "", before.ids - {gone}),
        "compact": Change(lambda store: store.compact(), "", before.ids),
        "rollback": Change(lambda store: store.rollback(None), "000001", first),
        "prune": Change(lambda store: store.prune(1), before.version, before.ids),
    }[kind]


@pytest.mark.parametrize("kind", ["publish", "upsert", "delete", "compact", "rollback", "prune"])
def test_killed_at_every_write_the_published_state_stands(kind: str, tmp_path: Path, path: Path) -> None:
    drawing = Drawing(11)
    store = lite_store(path)
    rows = drawing.rows(4, 4)
    store.publish(pending_version(tmp_path, rows))
    store.upsert(drawing.rows(1, 1))
    before = read(store)
    change = draw_change(kind, tmp_path, drawing, before, ids_of(rows))
    for writes in range(40):
        dying, client = dying_store(path, writes)
        with suppress(Killed):
            change.run(dying)
        after = read(lite_store(path))
        if after.version != before.version or not client.dead:
            break
        assert after == before
        if kind != "prune":  # Half of what was to be removed may be gone.
            assert names(lite_store(path)) == ["000001", "000002"]
    assert writes > 2
    assert after.ids == change.ids
    assert after.version == change.version or not change.version

    # Nothing of what was half written is seen later either.
    reopened = lite_store(path)
    added = drawing.rows(1, 1)
    reopened.upsert(added)
    assert read(reopened).ids == change.ids | ids_of(added)
    reopened.compact()
    assert read(reopened).ids == change.ids | ids_of(added)
    assert reopened.versions()[-1].current


_DIE = """
import os, signal, sys
from pathlib import Path
from tests.collections_data import Drawing
from tests.unit.index.collection.milvus_lite import dying_store

store, _ = dying_store(Path(sys.argv[1]), int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL))
drawing = Drawing(int(sys.argv[3]))
while True:
    store.upsert(drawing.rows(2, 2))
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_a_process_that_is_killed_leaves_the_last_version(seed: int, tmp_path: Path) -> None:
    first = Drawing(100).rows(4, 4)
    with served(tmp_path) as path:
        lite_store(path).publish(pending_version(tmp_path, first))
    writes = int(np.random.default_rng(seed).integers(3, 40))
    arguments = [str(path), str(writes), str(seed)]
    killed = subprocess.run([sys.executable, "-c", _DIE, *arguments], cwd=Path.cwd(), capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    drawing, ids = Drawing(seed), ids_of(first)
    with served(tmp_path) as path:
        store = lite_store(path)
        for _ in range(int(store.open().version) - 1):  # The changes that were published before the last one.
            ids |= ids_of(drawing.rows(2, 2))
        assert read(store).ids == ids, arguments
        added = drawing.rows(2, 2)
        store.upsert(added)
        assert read(store).ids == ids | ids_of(added), arguments


def test_readers_never_see_half_a_change(tmp_path: Path, path: Path) -> None:
    items = [image_item(f"{number}.jpg") for number in range(20)]
    states = [pending_rows(items, np.repeat(unit_rows(1, seed=seed), 20, axis=0)) for seed in range(3)]
    store = lite_store(path)
    store.publish(pending_version(tmp_path, {IMAGE: states[0]}))
    expected = {f"{number + 1:06d}": rows.vectors[0] for number, rows in enumerate(states)}
    old, done, seen = store.open(), threading.Event(), set()

    def look() -> None:
        reader = lite_store(path)
        while not done.is_set():
            for opened in (reader.open(), old):
                (hits,) = opened.search(expected[opened.version][None], IMAGE, SearchOptions(limit=100))
                assert sorted(hit.item.id for hit in hits) == sorted(item.id for item in items)
                assert all(abs(hit.score - 1) < 1e-5 for hit in hits)
                seen.add(opened.version)

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(look) for _ in range(2)]
        try:
            for rows in states[1:]:
                store.upsert({IMAGE: rows})
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert len(seen) > 1


def test_one_writer_at_a_time(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = lite_store(path), lite_store(path)
    store.publish(pending_version(tmp_path, Drawing(0).rows(2, 0)))
    with store._writing() as held:
        with pytest.raises(ArtifactError, match=f"being changed by process {os.getpid()} on .*drop the Milvus coll"):
            other.compact()
        # A lock of another machine counts for some hours, and whoever lost it publishes nothing.
        monkeypatch.setattr(lock, "_host", lambda: "elsewhere")
        with pytest.raises(ArtifactError, match="being changed"):
            other.compact()
        monkeypatch.setattr(lock, "LEASE_SECONDS", -1)
        other.compact()
        with pytest.raises(ArtifactError, match="taken over"):
            held.check()
    assert [info.kind for info in store.versions()] == ["rebuild", "compact"]
    monkeypatch.undo()
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)  # Beyond the largest pid: its process has ended.
    with store._writing():
        monkeypatch.undo()
        other.compact()


class LateAnswer(grpc.RpcError):
    """What grpc raises where no answer comes in time."""

    def details(self) -> str:
        return "disk full of S3cret-token"


@pytest.mark.parametrize("error", [MilvusException(message="disk full of S3cret-token\nand more"), LateAnswer()])
def test_a_server_that_fails_is_an_error_and_the_next_change_works(
    error: Exception, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, drawing = lite_store(path), Drawing(0)
    store.publish(pending_version(tmp_path, drawing.rows(2, 2)))
    before = read(store)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(store._connection._client, "insert", fail)
    monkeypatch.setattr(store._connection, "_token", "S3cret-token")
    with pytest.raises(ArtifactError) as raised:
        store.upsert(drawing.rows(1, 1))
    assert "disk full of ***" in str(raised.value)
    assert "S3cret" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert read(store) == before
    monkeypatch.undo()
    assert store.upsert(drawing.rows(1, 1)).images == 3


def test_rows_that_milvus_cannot_keep_are_refused_before_anything_is_written(tmp_path: Path, path: Path) -> None:
    store = lite_store(path)
    for item, said in (
        (image_item("a.jpg", "é" * 40_000), "caption of the image .* has 80000 bytes"),
        (image_item("a.jpg", payload={"list": list(range(5_000))}), "500[0-9] terms"),
    ):
        with pytest.raises(InvalidInput, match=said):
            store.publish(pending_version(tmp_path, {IMAGE: pending_rows([item], unit_rows(1))}))
    for factor in (2, np.nan):
        with pytest.raises(ArtifactCorrupt, match="export it again"):
            store.publish(
                pending_version(tmp_path, {IMAGE: pending_rows([image_item("a.jpg")], unit_rows(1) * factor)})
            )
    assert store._connection.collections() == []
    assert store.publish(pending_version(tmp_path, {IMAGE: pending_rows([image_item("a.jpg")], unit_rows(1))})).images


def test_a_version_that_does_not_answer_as_it_should_is_not_published(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, drawing = lite_store(path), Drawing(0)
    store.publish(pending_version(tmp_path, drawing.rows(2, 2)))
    insert = store._connection._client.insert

    def lose(name: str, rows: list[dict[str, object]], **kwargs: object) -> object:
        return insert(name, rows[:-1], **kwargs)

    def alter(name: str, rows: list[dict[str, object]], **kwargs: object) -> object:
        return insert(name, [{**row, "vector": -np.asarray(row["vector"])} for row in rows], **kwargs)

    for wrong, said in (
        (lose, "holds 4 image rows of the new version 000002, not 5"),
        (alter, "other image embeddings"),
    ):
        monkeypatch.setattr(store._connection._client, "insert", wrong)
        with pytest.raises(ArtifactCorrupt, match=said):
            store.upsert(drawing.rows(3, 0))
        assert [info.version for info in store.versions()] == ["000001"]


def test_a_long_lineage_is_written_anew(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_store, "MAX_LINEAGE", 2)
    store, drawing = lite_store(path), Drawing(0)
    store.publish(pending_version(tmp_path, drawing.rows(2, 2)))
    for images in (3, 4, 5):
        store.upsert(drawing.rows(1, 0))
        assert len(store.open().manifest.lineage) <= 2
        assert store.open().count(IMAGE) == images
    assert store.versions()[-1].kind == "upsert"
