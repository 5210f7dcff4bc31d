"""Hashes, atomic files and published directories."""

import hashlib
import json
import os
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ValidationError

from model.errors import ArtifactCorrupt, ArtifactError, ArtifactMissing
from model.manifest import (
    FileEntry,
    describe_files,
    published_directory,
    read_manifest,
    sha256_of_file,
    verify_files,
    write_text_atomically,
)


class ExampleManifest(BaseModel):
    format: Literal["aahr-example/1"]
    rows: int = 0


def write_artifact(directory: Path, content: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "manifest.json").write_text('{"format": "aahr-example/1"}')
    (directory / "content.txt").write_text(content)


def test_an_entry_holds_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.bin").write_bytes(b"")
    files = describe_files(tmp_path, ["sub/b.bin", "a.bin"])
    assert list(files) == ["a.bin", "sub/b.bin"]
    assert files["a.bin"] == FileEntry(bytes=3, sha256=hashlib.sha256(b"abc").hexdigest())
    assert sha256_of_file(tmp_path / "sub" / "b.bin") == hashlib.sha256(b"").hexdigest()
    verify_files(tmp_path, files)


def test_an_entry_refuses_what_is_no_hash() -> None:
    with pytest.raises(ValidationError):
        FileEntry(bytes=1, sha256="abc")


def test_a_flipped_byte_is_named_with_both_hashes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    files = describe_files(tmp_path, ["a.bin"])
    path.write_bytes(b"abd")
    with pytest.raises(ArtifactCorrupt) as caught:
        verify_files(tmp_path, files)
    assert str(caught.value).startswith("a.bin has SHA-256")
    assert caught.value.detail == str(path)
    assert files["a.bin"].sha256 in str(caught.value)
    assert hashlib.sha256(b"abd").hexdigest() in str(caught.value)


def test_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    files = describe_files(tmp_path, ["a.bin"])
    path.write_bytes(b"a")
    with pytest.raises(ArtifactCorrupt, match=r"a\.bin has 1 bytes, its manifest says 3"):
        verify_files(tmp_path, files)


def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    files = describe_files(tmp_path, ["a.bin"])
    (tmp_path / "a.bin").unlink()
    with pytest.raises(ArtifactMissing, match=r"a\.bin is not there"):
        verify_files(tmp_path, files)
    with pytest.raises(ArtifactMissing, match=r"b\.bin is not there"):
        describe_files(tmp_path, ["b.bin"])


@pytest.mark.parametrize("name", ["../outside.bin", "/etc/hostname", "sub/../../outside.bin"])
def test_a_manifest_cannot_name_files_outside_its_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.bin").write_bytes(b"abc")
    directory = tmp_path / "artifact"
    directory.mkdir()
    with pytest.raises(ArtifactCorrupt, match="outside its directory"):
        verify_files(directory, {name: FileEntry(bytes=3, sha256="0" * 64)})


def test_a_manifest_is_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "aahr-example/1", "rows": 3}')
    assert read_manifest(tmp_path, ExampleManifest).rows == 3


def test_a_missing_manifest_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="is not an example, as `aahr example` writes it: it has no manifest"):
        read_manifest(tmp_path, ExampleManifest, expected="an example, as `aahr example` writes it")
    with pytest.raises(ArtifactMissing, match=r"^nowhere is not an artifact directory: it has no manifest") as caught:
        read_manifest(tmp_path / "nowhere", ExampleManifest)
    assert caught.value.detail == str(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"format": "aahr-index/1"}', r"format: Input should be 'aahr-example/1', found 'aahr-index/1'"),
        ('{"rows": 3}', "format: Field required"),
        ('{"format": "aahr-example/1", "rows": "many"}', "rows: .*found 'many'"),
        ('{"format": "aahr-exam', "Invalid JSON"),
        ("[1, 2]", "Input should be an object"),
        ("", "Invalid JSON"),
        ("\x00\xff", "Invalid JSON"),
    ],
)
def test_a_foreign_manifest_is_refused_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactCorrupt, match=problem) as caught:
        read_manifest(tmp_path, ExampleManifest)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("manifest.json does not belong to")
    assert caught.value.detail == str(tmp_path / "manifest.json")


def test_text_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "CURRENT"
    write_text_atomically(path, "000001\n")
    write_text_atomically(path, "000002 é\n")
    assert path.read_text(encoding="utf-8") == "000002 é\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_rename_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "CURRENT"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", _fail)
    with pytest.raises(OSError, match="no space"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "model"
    with published_directory(target) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a.txt").write_text("a")
        assert not target.exists()
        assert staging.parent == target.parent
    assert (target / "sub" / "a.txt").read_text() == "a"
    assert list(target.parent.iterdir()) == [target]


def test_a_published_directory_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    with published_directory(tmp_path / "model"):
        pass
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_an_earlier_artifact_is_replaced_and_removed(tmp_path: Path) -> None:
    target = tmp_path / "model"
    write_artifact(target, "old")
    (target / "stale.txt").write_text("stale")
    with published_directory(target) as staging:
        write_artifact(staging, "new")
        assert (target / "content.txt").read_text() == "old"
    assert (target / "content.txt").read_text() == "new"
    assert not (target / "stale.txt").exists()
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_failure_leaves_the_earlier_artifact(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "model"
    write_artifact(target, "old")

    def fail() -> None:
        with published_directory(target) as staging:
            write_artifact(staging, "half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (target / "content.txt").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("manifest", [None, "{}", '{"format": "other/1"}', "no json", "[]"])
def test_a_folder_that_is_no_artifact_is_not_replaced(tmp_path: Path, manifest: str | None) -> None:
    images = tmp_path / "Images"
    images.mkdir()
    (images / "one.jpg").write_bytes(b"precious")
    if manifest is not None:
        (images / "manifest.json").write_text(manifest)
    with pytest.raises(ArtifactError, match="is not replaced"), published_directory(images):
        pytest.fail("no work is begun that could not be published")
    assert (images / "one.jpg").read_bytes() == b"precious"


def test_a_file_or_dangling_link_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (tmp_path / "file", tmp_path / "link"):
        with pytest.raises(ArtifactError, match="is not a folder"), published_directory(target):
            pytest.fail("no work is begun that could not be published")
    assert (tmp_path / "file").read_text() == "text"


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    refused = pytest.raises(ArtifactError, match=r"model cannot be written: (file exists|not a directory)")
    with refused, published_directory(tmp_path / "file" / "model"):
        pytest.fail("no work is begun that could not be published")


def test_an_error_of_the_work_itself_is_not_renamed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), published_directory(tmp_path / "model"):
        (tmp_path / "nowhere").read_text()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    with published_directory(target) as staging:
        write_artifact(staging, "new")
    assert json.loads((target / "manifest.json").read_text()) == {"format": "aahr-example/1"}


def test_files_are_on_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with published_directory(tmp_path / "model") as staging:
        write_artifact(staging, "new")
    assert set(synced[:2]) == {"manifest.json", "content.txt"}
    assert synced[2] == staging.name
    assert synced[3] == tmp_path.name


def _fail(*_: object) -> None:
    raise OSError("no space")
