"""The parts of the demo that need no running server."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import demo
from model.errors import AahrError, ArtifactMissing
from model.preprocess import decode_image
from tests.artifacts import write_colour_model
from tests.conftest import PROJECT

URL = "http://127.0.0.1:1"
SCENES: dict[str, Any] = {
    "images": [
        {
            "imgid": image_id,
            "filename": f"{image_id}.jpg",
            "sentences": [
                {"raw": f"number {image_id}", "sentid": 2 * image_id, "holds": [image_id]},
                {"raw": "a number", "sentid": 2 * image_id + 1, "holds": [0, 1]},
            ],
        }
        for image_id in (0, 1)
    ]
}


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The stages that would have been run."""
    run: list[list[str]] = []
    monkeypatch.setattr(demo, "_stage", lambda *arguments: run.append([str(argument) for argument in arguments]))
    return run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for image in SCENES["images"]:
        (tmp_path / image["filename"]).write_bytes(b"image")
    return tmp_path


def write_checkpoint(directory: Path, sha256: str) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "manifest.json").write_text(json.dumps({"files": {"model.safetensors": {"sha256": sha256}}}))
    return directory


def answer_always(monkeypatch: pytest.MonkeyPatch, hit: Mapping[str, str]) -> None:
    monkeypatch.setattr(demo, "_search", lambda *_: [hit])


def test_photographs_stand_beside_the_drawn_images(tmp_path: Path) -> None:
    assert demo.add_photographs(tmp_path)
    found = sorted(file.name for file in (tmp_path / "photographs").iterdir())
    assert found == sorted(demo.PHOTOGRAPHS)
    for name in found:
        decode_image(tmp_path / "photographs" / name)
    assert not demo.add_photographs(tmp_path)


def test_without_their_package_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    assert not demo.add_photographs(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["two dogs", 'it\'s "quoted" $HOME `ls` \\ !', "犬が二匹 🐕"])
def test_text_line_survives_the_shell(text: str) -> None:
    assert json.loads(shlex.split(demo.text_line(URL, text))[-1])["text"] == text


@pytest.mark.parametrize("name", ["plain.jpg", "two words.jpg", "a;b,c.jpg", 'it\'s "quoted" \\ $HOME.jpg'])
def test_file_line_survives_the_shell_and_curl(name: str, tmp_path: Path) -> None:
    form = shlex.split(demo.file_line(URL, tmp_path / name))[4]
    assert form.startswith('image=@"')
    assert form.endswith('"')
    assert form[8:-1].replace('\\"', '"').replace("\\\\", "\\") == str(tmp_path / name)


def test_model_is_exported_once_for_each_checkpoint(tmp_path: Path, stages: list[list[str]]) -> None:
    exported = write_colour_model(tmp_path / "var" / "mini").manifest
    same = write_checkpoint(tmp_path / "same", exported.checkpoint.sha256)
    other = write_checkpoint(tmp_path / "other", "1" * 64)
    demo._prepare_model(same, tmp_path / "var" / "mini")
    assert stages == []
    demo._prepare_model(other, tmp_path / "var" / "mini")
    assert stages == [["export", str(other), "--out", str(tmp_path / "var" / "mini")]]


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"checkpoint": null}', '{"checkpoint": {}}'])
def test_broken_model_is_exported_again(broken: str, tmp_path: Path, stages: list[list[str]]) -> None:
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "manifest.json").write_text(broken)
    demo._prepare_model(write_checkpoint(tmp_path / "checkpoint", "1" * 64), tmp_path / "mini")
    assert [stage[0] for stage in stages] == ["export"]


def test_only_questions_with_right_answers_are_shown(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This model answers every text with image 1, and every image with the caption of image 1."""
    answer_always(monkeypatch, {"uri": "1.jpg", "caption": "number 1"})
    words, image = demo.ask_scenes(URL, images, SCENES)
    assert words == demo.Question(demo.text_line(URL, "number 1"), "1.jpg")
    assert image == demo.Question(demo.file_line(URL, images / "1.jpg"), "number 1")


def test_caption_of_two_images_is_no_question_but_may_be_an_answer(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_always(monkeypatch, {"uri": "0.jpg", "caption": "a number"})
    words, image = demo.ask_scenes(URL, images, SCENES)
    assert words.line == demo.text_line(URL, "number 0")
    assert image.answer == "a number"


@pytest.mark.parametrize("hit", [{"uri": "9.jpg", "caption": "number 1"}, {"uri": "1.jpg", "caption": "number 9"}])
def test_model_that_finds_nothing_gets_no_promise(
    hit: Mapping[str, str], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_always(monkeypatch, hit)
    with pytest.raises(AahrError, match="needs more training"):
        demo.ask_scenes(URL, images, SCENES)


def test_the_shipped_checkpoint_is_that_of_the_checkout() -> None:
    assert demo.shipped_checkpoint() == PROJECT / "checkpoints" / "mini"


def test_an_installation_without_the_checkpoint_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Empty:
        files = None

    monkeypatch.setattr(demo, "__file__", str(tmp_path / "demo.py"))
    monkeypatch.setattr(demo, "distribution", lambda _: Empty())
    with pytest.raises(ArtifactMissing, match="install aahr again, or give --checkpoint"):
        demo.shipped_checkpoint()
