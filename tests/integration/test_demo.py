"""The demo's promise: the curl lines that it prints get the answers that it prints, first."""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.artifacts import write_colour_model

ROOT = Path(__file__).parents[2]
PROMISE = "best answer: "


class Demo:
    """A running `aahr demo` and what it has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.lines: list[str] = []
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
            if len(self.questions) == 2:
                return
        raise AssertionError("the demo ended early: " + "\n".join(self.lines))

    @property
    def commands(self) -> list[str]:
        """The stages that were run."""
        return [line[2:] for line in self.lines if line.startswith("$ ")]

    @property
    def questions(self) -> list[tuple[str, str]]:
        """Each curl line with the answer that was promised of it."""
        pairs = zip(self.lines, self.lines[1:], strict=False)
        return [(line.strip(), before.split(PROMISE)[1]) for before, line in pairs if line.startswith("  curl ")]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running_demo(*arguments: object) -> Iterator[Demo]:
    command = [sys.executable, "-m", "cli", "demo", "--port", str(free_port()), *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield Demo(process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            rest = process.communicate(timeout=30)[0]
        finally:
            # Nothing that the demo started may outlive a test, whatever went wrong.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, rest


def best_answer(line: str) -> dict[str, Any]:
    """Run a printed line as a reader would, in a shell and from another folder."""
    done = subprocess.run(line, shell=True, cwd="/", capture_output=True, text=True, timeout=60, check=True)
    best: dict[str, Any] = json.loads(done.stdout)["results"][0]
    return best


def test_printed_questions_about_scenes_get_the_right_answers(tmp_path: Path) -> None:
    with running_demo("--directory", tmp_path) as demo:
        (words, image_name), (image, caption) = demo.questions
        scenes = json.loads((tmp_path / "scenes" / "scenes.json").read_text())
        assert best_answer(words)["uri"] == image_name
        assert best_answer(image)["caption"] == caption
    images = {image["imgid"]: image for image in scenes["images"]}
    sentences = [sentence for image in images.values() for sentence in image["sentences"]]
    asked = json.loads(shlex.split(words)[-1])["text"]
    held = {images[image]["filename"] for each in sentences if each["raw"] == asked for image in each["holds"]}
    assert held == {image_name}
    holds = {images[image]["filename"] for each in sentences if each["raw"] == caption for image in each["holds"]}
    assert any(name in image for name in holds)
    with running_demo("--directory", tmp_path) as again:
        assert again.commands == []
        assert again.questions[0][1] == image_name


def test_own_images_are_searched_with_folders_spaces_and_quotes(tmp_path: Path) -> None:
    checkpoint = exported_colour_model(tmp_path)
    folder = tmp_path / "my images, all of them"
    (folder / "summer; 'best'").mkdir(parents=True)
    Image.new("RGB", (32, 24), "red").save(folder / "red.png")
    Image.new("RGB", (32, 24), "blue").save(folder / "summer; 'best'" / 'the "blue" one.png')
    (folder / "notes.txt").write_text("no image")
    with running_demo("--directory", tmp_path / "var", "--checkpoint", checkpoint, "--images", folder) as demo:
        for line, promised in demo.questions:
            assert promised in {"red.png", "summer; 'best'/the \"blue\" one.png"}
            assert best_answer(line)["uri"] == promised
        assert best_answer(demo.questions[1][0])["score"] == pytest.approx(1, abs=1e-3)
    assert [command.split()[1:3] for command in demo.commands] == [["index", "rebuild"]]


def test_home_folder_is_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = exported_colour_model(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "Images").mkdir()
    Image.new("RGB", (32, 24), "green").save(tmp_path / "Images" / "green.png")
    with running_demo("--directory", tmp_path / "var", "--checkpoint", checkpoint, "--images", "~/Images") as demo:
        assert best_answer(demo.questions[1][0])["uri"] == "green.png"


def test_failed_stage_ends_the_demo_with_its_status(tmp_path: Path) -> None:
    checkpoint = exported_colour_model(tmp_path)
    arguments = ["--directory", tmp_path / "var", "--checkpoint", checkpoint, "--images", tmp_path / "nowhere"]
    done = run_to_the_end("--port", free_port(), *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("aahr: ")
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1


def test_taken_port_is_named_before_anything_is_prepared(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run_to_the_end("--port", port, "--directory", tmp_path / "var")
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "var").exists()


def exported_colour_model(directory: Path) -> Path:
    """A model that stands as exported in directory/var; returns the checkpoint that it seems to come from."""
    exported = write_colour_model(directory / "var" / "mini").manifest
    checkpoint = directory / "checkpoint"
    checkpoint.mkdir()
    files = {"model.safetensors": {"bytes": 0, "sha256": exported.checkpoint.sha256}}
    (checkpoint / "manifest.json").write_text(json.dumps({"files": files}))
    return checkpoint


def run_to_the_end(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli", "demo", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
