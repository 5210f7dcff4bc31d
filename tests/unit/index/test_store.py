import gc
import json
import os
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.engines.faiss import FaissEngine
from index.gallery import Gallery, write_gallery
from index.items import Modality
from index.search import LoadedIndex
from index.store import current_version, load_index
from model.errors import ArtifactCorrupt, ArtifactMissing
from model.manifest import describe_files
from tests.unit.index.drafts import image_item, make_draft, publish_draft, unit_rows


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    publish_draft(tmp_path / "index", make_draft(tmp_path))
    return tmp_path / "index"


@pytest.fixture
def version(directory: Path) -> Path:
    return directory / "versions" / "000001"


def change_manifest(version: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((version / "manifest.json").read_text())
    change(manifest)
    (version / "manifest.json").write_text(json.dumps(manifest))


def seal_again(version: Path) -> None:
    """Make sizes and hashes of the manifest those of the files, as somebody might who changed them on purpose."""
    names = [path.name for path in version.iterdir() if path.name != "manifest.json"]
    entries = {name: entry.model_dump() for name, entry in describe_files(version, names).items()}
    change_manifest(version, lambda manifest: manifest.update(files=entries))


def test_what_was_published_is_loaded(directory: Path, tmp_path: Path) -> None:
    draft = make_draft(tmp_path)
    index = load_index(directory)
    assert (index.version, current_version(directory)) == ("000001", "000001")
    assert index.gallery == draft.gallery
    assert (index.manifest.counts.image, index.manifest.counts.text) == (12, 7)
    assert (index.manifest.counts.rejects, index.manifest.counts.left_out) == (1, 2)
    for modality in Modality:
        stored = [index.embedding_of(item.id) for item in index.gallery.of(modality)]
        np.testing.assert_array_equal(stored, draft.embeddings[modality])


def test_a_directory_that_is_no_index(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ArtifactMissing, match=r"no index.*aahr index rebuild"):
            load_index(directory)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactMissing):
        load_index(tmp_path / "file")


@pytest.mark.parametrize("content", ["", "../../etc", "000001/../000001", "one", "\0", "\xff" * 100])
def test_a_foreign_current_file_is_refused(directory: Path, content: str) -> None:
    (directory / "CURRENT").write_bytes(content.encode("latin-1"))
    with pytest.raises(ArtifactCorrupt, match="CURRENT says"):
        load_index(directory)
    (directory / "CURRENT").write_text("000001\n")
    assert load_index(directory).version == "000001"


def test_a_version_that_is_gone(directory: Path, version: Path) -> None:
    shutil.rmtree(version)
    with pytest.raises(ArtifactMissing, match="000001"):
        load_index(directory)


@pytest.mark.parametrize("name", ["image.faiss", "text.faiss", "gallery.parquet", "rejects.jsonl"])
def test_a_changed_cut_or_missing_file_is_refused(directory: Path, version: Path, name: str) -> None:
    path = version / name
    sound = path.read_bytes()
    flipped = bytearray(sound)
    flipped[len(sound) // 2] ^= 1
    for broken in (bytes(flipped), sound[:-1], sound + b"\n", b""):
        path.write_bytes(broken)
        with pytest.raises(ArtifactCorrupt, match=name):
            load_index(directory)
    path.unlink()
    with pytest.raises(ArtifactMissing, match=name):
        load_index(directory)
    path.write_bytes(sound)
    assert load_index(directory).version == "000001"


def test_a_missing_or_broken_manifest_is_refused(directory: Path, version: Path) -> None:
    (version / "manifest.json").write_text("{")
    with pytest.raises(ArtifactCorrupt, match=r"manifest\.json"):
        load_index(directory)
    (version / "manifest.json").unlink()
    with pytest.raises(ArtifactMissing, match=r"manifest\.json"):
        load_index(directory)


def test_a_version_in_the_wrong_folder_is_refused(directory: Path, version: Path) -> None:
    version.rename(version.with_name("000002"))
    (directory / "CURRENT").write_text("000002\n")
    with pytest.raises(ArtifactCorrupt, match="is of version 000001"):
        load_index(directory)


def test_an_unlisted_file_is_refused(directory: Path, version: Path) -> None:
    change_manifest(version, lambda manifest: manifest["files"].pop("text.faiss"))
    with pytest.raises(ArtifactCorrupt, match=r"lists gallery\.parquet, image\.faiss, rejects\.jsonl, not"):
        load_index(directory)


def test_rows_out_of_step_are_refused_though_the_hashes_fit(directory: Path, version: Path) -> None:
    write_gallery(version / "gallery.parquet", Gallery((image_item("one.jpg"),)))
    seal_again(version)
    with pytest.raises(ArtifactCorrupt, match=r"\[1, 12\] image rows, its manifest says 12"):
        load_index(directory)


def test_another_dimension_is_refused_though_the_hashes_fit(directory: Path, version: Path) -> None:
    FaissEngine.build(unit_rows(12, dimension=9)).write(version / "image.faiss")
    seal_again(version)
    with pytest.raises(ArtifactCorrupt, match="has dimension 9, its manifest says 8"):
        load_index(directory)


def test_a_broken_faiss_file_is_refused_though_the_hashes_fit(directory: Path, version: Path) -> None:
    (version / "image.faiss").write_bytes(os.urandom(200))
    seal_again(version)
    with pytest.raises(ArtifactCorrupt, match="cannot be read by faiss"):
        load_index(directory)


def test_counts_without_an_engine_are_refused(directory: Path, version: Path) -> None:
    (version / "text.faiss").unlink()
    seal_again(version)
    change_manifest(version, lambda manifest: manifest["engines"].pop("text"))
    with pytest.raises(ArtifactCorrupt, match=r"\[0, 7\] text rows"):
        load_index(directory)


def test_a_replaced_index_is_freed_at_once(directory: Path) -> None:
    gc.disable()
    try:
        index: LoadedIndex | None = load_index(directory)
        freed = weakref.ref(index)
        index = None
        assert freed() is None
    finally:
        gc.enable()
