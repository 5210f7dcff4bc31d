"""Files on disk: equal arguments give equal bytes, and nothing foreign is ever touched."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import cli
from model.errors import DataError
from training.scenes import write_scenes


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scenes(tmp_path / name, count=12, seed=5)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert len(hashes(tmp_path / "a")) == 13


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    write_scenes(tmp_path / "here", count=5, seed=5)
    arguments = ["data", "scenes", "--out", str(tmp_path / "there"), "--count", "5", "--seed", "5"]
    environment = {**os.environ, "PYTHONHASHSEED": "99"}
    subprocess.run([sys.executable, "-m", "cli", *arguments], check=True, capture_output=True, env=environment)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "there")


def test_another_seed_gives_other_scenes(tmp_path: Path) -> None:
    write_scenes(tmp_path / "a", count=8, seed=0)
    write_scenes(tmp_path / "b", count=8, seed=1)
    assert not set(hashes(tmp_path / "a").values()) & set(hashes(tmp_path / "b").values())


@pytest.mark.parametrize("count", [1, 3, 8])
def test_small_counts(tmp_path: Path, count: int) -> None:
    summary = write_scenes(tmp_path, count=count, seed=0)
    described = json.loads((tmp_path / "scenes.json").read_text())
    assert (summary.images, summary.captions) == (count, 5 * count)
    assert (described["dataset"], described["seed"], len(described["images"])) == ("scenes", 0, count)
    for image in described["images"]:
        with Image.open(tmp_path / "images" / image["filename"]) as drawn:
            assert (drawn.format, drawn.mode, drawn.size) == ("JPEG", "RGB", (224, 224))


def test_the_summary_counts_soft_negatives(tmp_path: Path) -> None:
    summary = write_scenes(tmp_path, count=8, seed=0)
    images = json.loads((tmp_path / "scenes.json").read_text())["images"]
    challenged = [bool(sentence["soft_negatives"]) for image in images for sentence in image["sentences"]]
    assert summary.soft_negative_share == sum(challenged) / len(challenged) >= 0.5


def test_a_rerun_mends_its_own_output_and_leaves_other_files(tmp_path: Path) -> None:
    write_scenes(tmp_path, count=4, seed=0)
    before = hashes(tmp_path)
    (tmp_path / "images" / "scene-000001.jpg").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    write_scenes(tmp_path, count=4, seed=0)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "notes.txt").unlink()
    assert hashes(tmp_path) == before


def test_an_interrupted_run_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.scenes.generate.draw_scene", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_scenes(tmp_path, count=4, seed=0)
    assert not (tmp_path / "scenes.json").exists()
    with pytest.raises(DataError, match="other files"):
        write_scenes(tmp_path, count=4, seed=1)
    write_scenes(tmp_path, count=4, seed=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "scenes.json"]


@pytest.mark.parametrize(("count", "seed"), [(5, 0), (4, 1)])
def test_output_of_other_arguments_is_not_overwritten(tmp_path: Path, count: int, seed: int) -> None:
    write_scenes(tmp_path, count=4, seed=0)
    before = hashes(tmp_path)
    with pytest.raises(DataError, match="other files"):
        write_scenes(tmp_path, count=count, seed=seed)
    assert hashes(tmp_path) == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"images": 3}', '"text"', "\x00"])
def test_foreign_files_are_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "scenes.json").write_text(content)
    with pytest.raises(DataError, match=str(tmp_path)):
        write_scenes(tmp_path, count=4, seed=0)
    assert hashes(tmp_path) == {"scenes.json": hashlib.sha256(content.encode()).hexdigest()}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match="choose another folder"):
            write_scenes(out, count=1, seed=0)
    assert (tmp_path / "file").read_text() == "mine"


def test_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 1"):
        write_scenes(tmp_path / "out", count=0, seed=0)
    assert not (tmp_path / "out").exists()


def test_command_line(tmp_path: Path) -> None:
    arguments = ["data", "scenes", "--out", str(tmp_path / "out"), "--count", "8", "--seed", "3"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0
    assert "8 images, 40 captions" in result.stdout.replace("\n", " ")
    write_scenes(tmp_path / "direct", count=8, seed=3)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "direct")


def test_command_line_refuses_a_foreign_folder_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    aahr = [sys.executable, "-m", "cli", "data", "scenes", "--out", str(tmp_path)]
    result = subprocess.run(aahr, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("aahr: ")
    assert result.stderr.count("\n") == 1


def test_the_package_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import training.scenes; import numpy"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
