"""Without the photographs their tests are skipped loudly, in CI they fail; without a device `gpu` is deselected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

TESTS = """
import pytest

@pytest.mark.photographs
def test_marked() -> None: pass

def test_with_the_fixture(flickr8k) -> None: assert (flickr8k / "images").is_dir()

def test_plain() -> None: pass

@pytest.mark.gpu
def test_on_a_device() -> None: pass
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The tests above in a process of their own, without a device."""
    (folder / "test_sample.py").write_text(TESTS)
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "FLICKR8K")}
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(PROJECT / "pyproject.toml")]
    return subprocess.run(
        [*command, "--rootdir", str(folder), "-p", "no:cacheprovider", str(folder)],
        cwd=PROJECT,
        env={**inherited, "CUDA_VISIBLE_DEVICES": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_photographs_are_skipped_with_a_loud_line(tmp_path: Path) -> None:
    result = run(tmp_path, FLICKR8K=str(tmp_path / "nowhere"))
    assert result.returncode == 0, result.stdout
    assert "1 passed, 2 skipped, 1 deselected" in result.stdout
    assert "!! 2 TESTS ON PHOTOGRAPHS WERE SKIPPED !!" in result.stdout
    assert f"{tmp_path / 'nowhere'} does not hold Flickr8k" in result.stdout
    assert "set FLICKR8K to the folder that does" in result.stdout


def test_missing_photographs_fail_in_ci(tmp_path: Path) -> None:
    result = run(tmp_path, FLICKR8K=str(tmp_path / "nowhere"), CI="true")
    assert result.returncode == 1
    assert "1 passed, 1 deselected, 2 errors" in result.stdout
    assert "does not hold Flickr8k" in result.stdout


def test_photographs_that_are_there_are_used(tmp_path: Path) -> None:
    folder = tmp_path / "flickr8k"
    (folder / "images").mkdir(parents=True)
    for name in ("dataset_flickr8k.json", "expert_judgments.csv"):
        (folder / name).touch()
    result = run(tmp_path, FLICKR8K=str(folder), CI="true")
    assert result.returncode == 0, result.stdout
    assert "3 passed, 1 deselected" in result.stdout
    assert "SKIPPED" not in result.stdout


@pytest.mark.photographs
def test_the_folder_is_the_one_named(flickr8k: Path) -> None:
    expected = os.environ.get("FLICKR8K") or PROJECT.parent / "shared" / "data" / "flickr8k"
    assert flickr8k == Path(expected)


def test_what_needs_a_device_is_said_not_to_have_run(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.returncode == 0, result.stdout
    assert "NO CUDA DEVICE: 1 TESTS MARKED gpu DID NOT RUN" in result.stdout
