"""The index directory: what is refused, who may write, and what a failure leaves."""

import gc
import json
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.catalog import Catalog
from index.collection import SearchOptions
from index.collection.local import LocalStore
from index.items import Modality, image_item_id
from index.pending import PendingRows
from model.errors import ArtifactCorrupt, ArtifactError, ArtifactMissing
from model.manifest import describe_files
from tests.conftest import PROJECT
from tests.pending import pending_version, unit_rows

# Everything that touches the disk between rows and the version being current.
STEPS = [
    ("index.segment", "write_metadata"),
    ("index.segment", "build_ann"),
    ("index.segment", "describe_files"),
    ("index.catalog", "write_rejects"),
    ("index.catalog", "describe_files"),
    ("index.catalog", "validate"),
    ("index.catalog", "write_text_atomically"),
]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "index")
    store.publish(pending_version(tmp_path))
    return store


@pytest.fixture
def directory(store: LocalStore) -> Path:
    return store.catalog.directory


@pytest.fixture
def version(directory: Path) -> Path:
    return directory / "versions" / "000001"


@pytest.fixture
def segment(store: LocalStore) -> Path:
    """The folder of the image rows."""
    return store.catalog.segments / store.open().manifest.segments[0].id


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_what_was_published_is_read_back(store: LocalStore, tmp_path: Path) -> None:
    pending, collection = pending_version(tmp_path), store.open()
    assert (collection.version, store.catalog.current()) == ("000001", "000001")
    assert (collection.count(Modality.IMAGE), collection.count(Modality.TEXT)) == (12, 7)
    assert (collection.manifest.rejects, collection.manifest.left_out) == (1, 2)
    for modality, rows in pending.rows.items():
        for vector, line in zip(rows.vectors, rows.metadata.to_pylist(), strict=True):
            item = collection.item(line["id"])
            assert (item.modality, item.uri, item.caption) == (modality, line["uri"], line["caption"])
            np.testing.assert_array_equal(collection.embedding(item.id), vector)


@pytest.mark.parametrize(("module", "step"), STEPS)
@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ArtifactCorrupt("no")]
)
def test_a_failure_at_any_step_leaves_the_old_version(
    store: LocalStore, tmp_path: Path, module: str, step: str, failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    expected = ArtifactError if isinstance(failure, OSError) else type(failure)
    with monkeypatch.context() as patched:
        patched.setattr(f"{module}.{step}", fail)
        with pytest.raises(expected):
            store.publish(pending_version(tmp_path, images=20))
    assert store.open().version == "000001"
    assert store.publish(pending_version(tmp_path, images=20)).images == 20
    assert not list(store.catalog.directory.glob("*/.*"))


def test_a_directory_that_is_not_an_index(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for directory in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(ArtifactMissing, match=r"is not an index.*aahr index rebuild"):
            Catalog(directory).open()


@pytest.mark.parametrize("content", ["", "../../etc", "000001/../000001", "one", "\0", "\xff" * 100])
def test_a_foreign_current_file_is_refused(store: LocalStore, directory: Path, content: str) -> None:
    (directory / "CURRENT").write_bytes(content.encode("latin-1"))
    with pytest.raises(ArtifactCorrupt, match="CURRENT says"):
        store.open()
    (directory / "CURRENT").write_text("000001\n")
    assert store.open().version == "000001"


def test_a_version_that_is_gone(store: LocalStore, version: Path) -> None:
    shutil.rmtree(version)
    with pytest.raises(ArtifactMissing, match="000001"):
        store.open()


@pytest.mark.parametrize("name", ["vectors.npy", "metadata.arrow", "ids.arrow", "manifest.json"])
def test_a_changed_cut_or_missing_file_of_a_segment_is_refused(store: LocalStore, segment: Path, name: str) -> None:
    path = segment / name
    sound = path.read_bytes()
    flipped = bytearray(sound)
    flipped[len(sound) // 2] ^= 1
    for broken in (bytes(flipped), sound[:-1], sound + b"\n", b""):
        path.write_bytes(broken)
        with pytest.raises(ArtifactCorrupt, match=f"{name}|is not the segment"):
            store.open()
    path.unlink()
    with pytest.raises(ArtifactMissing, match=name):
        store.open()
    path.write_bytes(sound)
    assert store.open().version == "000001"


@pytest.mark.parametrize("name", ["manifest.json", "rejects.jsonl"])
def test_a_broken_file_of_a_version_is_refused(store: LocalStore, version: Path, name: str) -> None:
    sound = (version / name).read_bytes()
    (version / name).write_bytes(b"{")
    with pytest.raises(ArtifactCorrupt, match=name):
        store.open()
    (version / name).unlink()
    with pytest.raises(ArtifactMissing, match=name):
        store.open()
    (version / name).write_bytes(sound)
    assert store.open().version == "000001"


def test_a_version_in_the_wrong_folder_is_refused(store: LocalStore, directory: Path, version: Path) -> None:
    version.rename(version.with_name("000002"))
    (directory / "CURRENT").write_text("000002\n")
    with pytest.raises(ArtifactCorrupt, match="is of version 000001"):
        store.open()


def test_rows_out_of_step_are_refused_though_the_hashes_fit(store: LocalStore, segment: Path) -> None:
    np.save(segment / "vectors.npy", unit_rows(11))
    names = [path.name for path in segment.iterdir() if path.name != "manifest.json"]
    entries = {name: entry.model_dump() for name, entry in describe_files(segment, names).items()}
    change_manifest(segment, lambda manifest: manifest.update(files=entries))
    with pytest.raises(ArtifactCorrupt, match=r"put it back|holds float32"):
        store.open()


def test_deleted_rows_that_do_not_exist_are_refused(store: LocalStore, directory: Path) -> None:
    store.delete([image_item_id("p011.jpg")])  # it has no caption
    version = directory / "versions" / "000002"
    (listed,) = version.glob("deleted-*.npy")
    for rows in ([12], [-1], [0, 0], [0, 1]):
        np.save(listed, np.array(rows, np.int64))
        names = [path.name for path in version.iterdir() if path.name != "manifest.json"]
        entries = {name: entry.model_dump() for name, entry in describe_files(version, names).items()}
        change_manifest(version, lambda manifest, entries=entries: manifest.update(files=entries))
        with pytest.raises(ArtifactCorrupt, match="does not list 1 of 12 rows"):
            store.open()


def test_an_index_of_the_first_format_is_refused_with_the_command_that_rebuilds_it(tmp_path: Path) -> None:
    old = tmp_path / "old"
    (old / "versions" / "000001").mkdir(parents=True)
    (old / "CURRENT").write_text("000001\n")
    manifest = {"format": "aahr-index/1", "images_root": "/photos", "model": {"directory": "/models/mini"}}
    (old / "versions" / "000001" / "manifest.json").write_text(json.dumps(manifest))
    command = f"aahr index rebuild --model /models/mini --images /photos --out {old}"
    with pytest.raises(ArtifactCorrupt, match=f"aahr-index/1, which is no longer read.*{command}"):
        LocalStore(old).open()
    assert LocalStore(old).publish(pending_version(tmp_path)).version == "000002", "it can be rebuilt in its place"
    assert LocalStore(old).open().count(Modality.IMAGE) == 12


def test_a_second_writer_is_refused_and_told_who_the_first_is(directory: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(directory)], cwd=PROJECT, stdin=-1, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    catalog = Catalog(directory)
    with pytest.raises(ArtifactError, match=f"being changed by process {holder.pid}; wait"), catalog.writing():
        pytest.fail("the lock is held")
    holder.kill()
    holder.communicate()
    with catalog.writing():
        assert catalog.open().manifest.version == "000001"


HOLD_THE_LOCK = """
import sys
from pathlib import Path
from index.catalog import Catalog
with Catalog(Path(sys.argv[1])).writing():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_of_other_things_is_not_mixed_with_an_index(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"is not an index: it holds 'photo\.jpg'"), Catalog(tmp_path).writing():
        pytest.fail("the folder is not ours")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "index"):
        with pytest.raises(ArtifactError, match=r"cannot be written to: .*another folder"), Catalog(out).writing():
            pytest.fail("there is a file in the way")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(lambda rows: rows * 1.01, "length is off 1 by 0.01; export it again"), (lambda rows: rows * np.nan, "length")],
)
def test_embeddings_that_cannot_be_right_are_not_published(
    store: LocalStore, tmp_path: Path, spoil: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    pending = pending_version(tmp_path)
    texts = pending.rows[Modality.TEXT]
    spoilt = PendingRows(spoil(texts.vectors), texts.metadata)
    with pytest.raises(ArtifactCorrupt, match=message):
        store.publish(replace(pending, rows={**pending.rows, Modality.TEXT: spoilt}))
    assert store.open().version == "000001"


def test_equal_rows_are_not_a_reason_against_an_index(store: LocalStore, tmp_path: Path) -> None:
    pending = pending_version(tmp_path)
    same = PendingRows(np.tile(unit_rows(1), (12, 1)), pending.rows[Modality.IMAGE].metadata)
    assert store.publish(replace(pending, rows={Modality.IMAGE: same})).images == 12
    (hits,) = store.open().search(unit_rows(1), Modality.IMAGE, SearchOptions(limit=12))
    assert [hit.item.id for hit in hits] == sorted(hit.item.id for hit in hits), "ties are ordered by id"


def test_rejects_are_a_file_that_people_can_read(version: Path) -> None:
    (reject,) = [json.loads(line) for line in (version / "rejects.jsonl").read_text().splitlines()]
    assert reject == {"uri": "bad.jpg", "code": "unreadable_image", "reason": "it is empty"}


@pytest.mark.usefixtures("store")
def test_a_moved_index_finds_what_lies_beside_it(tmp_path: Path) -> None:
    for name in ("images", "model"):
        (tmp_path / name).mkdir()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("index", "images", "model"):
        (tmp_path / name).rename(moved / name)
    collection = LocalStore(moved / "index").open()
    assert (collection.images_root, collection.model_directory) == (moved / "images", moved / "model")


def test_a_version_shares_open_segments_with_the_one_before(store: LocalStore) -> None:
    before = store.open()
    store.delete([before.search(unit_rows(1), Modality.IMAGE, SearchOptions())[0][0].item.id])
    after = store.open(shared=before)
    assert after.snapshot.segments[0] is before.snapshot.segments[0]
    assert (before.count(Modality.IMAGE), after.count(Modality.IMAGE)) == (12, 11)


def test_a_closed_collection_is_freed_at_once(store: LocalStore) -> None:
    gc.disable()
    try:
        collection = store.open()
        collection.search(unit_rows(1), Modality.IMAGE, SearchOptions())
        freed = weakref.ref(collection.snapshot.segments[0])
        del collection
        assert freed() is None
    finally:
        gc.enable()
