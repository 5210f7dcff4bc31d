"""Directories replaced in one step: kills at every point, other processes, file systems without an exchange."""

import ctypes
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model import replacement
from model.errors import ArtifactError, ArtifactMissing
from model.manifest import published_directory
from tests.unit.model.kill_publishers import publish, read

REPOSITORY = Path(__file__).parents[3]
HOLD_A_STAGING_FOLDER = """
import sys
from pathlib import Path
from model.manifest import published_directory
with published_directory(Path(sys.argv[1])) as staging:
    print(staging, flush=True)
    sys.stdin.readline()
    (staging / "manifest.json").write_text('{"format": "aahr-example/1", "content": "held"}')
    (staging / "content.txt").write_text("held")
"""


def answer(number: int) -> Callable[..., int]:
    """A `renameat2` that fails with this number."""

    def fail(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    return fail


@pytest.fixture(params=["exchange", "renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of replacing a directory."""
    if request.param == "renames":
        monkeypatch.setattr(replacement, "_renameat2", answer(errno.EINVAL))
    return str(request.param)


@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_a_process_killed_at_any_system_call_leaves_one_whole_artifact(tmp_path: Path, way: str) -> None:
    if way == "exchange" and replacement._renameat2 is None:
        pytest.fail("this C library has no renameat2: the exchange cannot be tested here")
    command = [sys.executable, "-m", "tests.unit.model.kill_publishers", str(tmp_path), way]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 15, "the calls are not counted"
    assert found == sorted(found, reverse=True), "old until the step, new from then on"
    assert set(found) == {"old", "new"}


@pytest.mark.usefixtures("way")
def test_an_earlier_artifact_is_replaced_and_removed(tmp_path: Path) -> None:
    for content in ("old", "new"):
        publish(tmp_path / "model", content)
        assert read(tmp_path / "model") == content
        assert os.listdir(tmp_path) == ["model"]


def test_the_exchange_is_used_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model"
    publish(target, "old")
    before = os.rename

    def refuse(source: Path, to: Path) -> None:
        assert source != target, "the target was taken away"
        before(source, to)

    monkeypatch.setattr(os, "rename", refuse)
    publish(target, "new")
    assert read(target) == "new"


def test_a_failed_rename_leaves_the_earlier_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model"
    publish(target, "old")
    monkeypatch.setattr(replacement, "_renameat2", None)
    rename = os.rename

    def fail_for_staging(source: Path, to: Path) -> None:
        if source.name.endswith(".tmp"):
            raise OSError(errno.ENOSPC, "no space left")
        rename(source, to)

    monkeypatch.setattr(os, "rename", fail_for_staging)
    with pytest.raises(ArtifactError, match="model cannot be written: no space left"):
        publish(target, "new")
    assert read(target) == "old"
    assert os.listdir(tmp_path) == ["model"]


def test_an_exchange_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "model", "old")
    monkeypatch.setattr(replacement, "_renameat2", answer(errno.EIO))
    with pytest.raises(ArtifactError, match="model cannot be written: input/output error"):
        publish(tmp_path / "model", "new")
    assert read(tmp_path / "model") == "old"


def test_a_directory_that_was_renamed_aside_is_put_back(tmp_path: Path) -> None:
    publish(tmp_path / "model", "old")
    (tmp_path / "model").rename(tmp_path / f".model.{'0' * 32}.aside")
    (tmp_path / f".other.{'0' * 32}.aside").mkdir()
    assert read(tmp_path / "model") == "old"
    assert not replacement.recover_directory(tmp_path / "nowhere")
    with pytest.raises(ArtifactMissing, match="nowhere is not an artifact directory"):
        read(tmp_path / "nowhere")


def test_the_only_copy_of_another_directory_is_not_cleared(tmp_path: Path) -> None:
    publish(tmp_path / "other", "precious")
    (tmp_path / "other").rename(tmp_path / f".other.{'0' * 32}.aside")
    publish(tmp_path / "model", "new")
    assert read(tmp_path / "other") == "precious"


@pytest.mark.usefixtures("way")
def test_the_folder_of_a_living_process_is_not_cleared(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_STAGING_FOLDER, str(target)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        publish(target, "ours")
        assert held.is_dir()
        assert read(target) == "ours"
        holder.stdin.write("\n")
        holder.stdin.close()
        assert holder.wait() == 0
    assert read(target) == "held"
    assert os.listdir(tmp_path) == ["model"]


def test_what_killed_processes_left_is_cleared_before_the_work_begins(tmp_path: Path) -> None:
    left_over = tmp_path / f".shard-1.{'a' * 32}.tmp"
    left_over.mkdir()
    (left_over / "values.npy").write_bytes(b"half")
    foreign = tmp_path / ".model.tmp"
    foreign.mkdir()
    with published_directory(tmp_path / "shard-2"):
        assert not left_over.exists()
    assert foreign.exists()


def test_a_link_to_an_artifact_is_replaced_by_the_artifact(tmp_path: Path) -> None:
    publish(tmp_path / "first", "old")
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "model"
    target.symlink_to(tmp_path / "first")
    publish(target, "new")
    assert (read(target), read(tmp_path / "first")) == ("new", "old")
    assert os.listdir(target.parent) == ["model"]
    (target.parent / f".model.{'b' * 32}.tmp").symlink_to(tmp_path / "first")  # killed before it was removed
    publish(target, "newer")
    assert read(tmp_path / "first") == "old"
    assert os.listdir(target.parent) == ["model"]
