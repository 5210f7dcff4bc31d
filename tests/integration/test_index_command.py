"""`aahr index rebuild` and `aahr index search`, as they are typed."""

import subprocess
import sys
from pathlib import Path

import pytest

import cli
from tests.galleries import IMAGES, BuiltGallery, build_gallery, open_index

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("gallery"))


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit status of `aahr ARGUMENTS` in this process."""
    monkeypatch.setattr(sys, "argv", ["aahr", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command_line_rebuilds_and_searches(
    gallery: BuiltGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "index"
    options = ("--model", gallery.model, "--images", gallery.images, "--captions", gallery.captions, "--out", out)
    assert run_cli(monkeypatch, "index", "rebuild", *options) == 0
    assert capsys.readouterr().out.startswith("version 000001: 4 images, 4 captions, 0 rejects")
    assert run_cli(monkeypatch, "index", "search", out, "something red", "--limit", "1") == 0
    assert IMAGES["red"] in capsys.readouterr().out
    assert run_cli(monkeypatch, "index", "search", out, "--image", gallery.images / IMAGES["red"]) == 0
    assert "a red square" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "{index}", "red", "--image", "{images}/{picture}"),
        ("search", "{index}"),
        ("search", "{index}", ""),
        ("search", "{index}", "red", "--target", "sound"),
        ("search", "{index}", "red", "--model", "{images}"),
        ("search", "{images}", "red"),
        ("search", "{index}", "--image", "{images}/missing.png"),
        ("rebuild", "--model", "{model}", "--images", "{images}/missing", "--out", "{index}"),
        ("rebuild", "--model", "{model}", "--images", "{images}", "--out", "{images}/{picture}"),
        ("rebuild", "--model", "{model}", "--images", "{images}", "--out", "{images}"),
    ],
)
def test_errors_are_one_line_and_status_two(
    gallery: BuiltGallery,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {**vars(gallery), "picture": IMAGES["red"]}
    assert run_cli(monkeypatch, "index", *(argument.format(**places) for argument in arguments)) == 2
    shown = capsys.readouterr().err.splitlines()
    assert [line for line in shown if line.startswith("aahr: ")] == shown[-1:]
    assert not any("Traceback" in line for line in shown)
    assert open_index(gallery.index).version == "000001"


def test_the_console_script_runs_without_torch(gallery: BuiltGallery, tmp_path: Path) -> None:
    program = "import sys; sys.modules['torch'] = None; import cli; cli.main()"
    command = [sys.executable, "-c", program, "index"]
    options = ["--model", str(gallery.model), "--images", str(gallery.images), "--out", str(tmp_path / "index")]
    subprocess.run([*command, "rebuild", *options], check=True, cwd=REPOSITORY, capture_output=True)
    search = [*command, "search", str(tmp_path / "index"), "yellow"]
    found = subprocess.run(search, check=True, cwd=REPOSITORY, capture_output=True, text=True)
    assert IMAGES["yellow"] in found.stdout.splitlines()[3]
    search = [*command, "search", str(gallery.images), "yellow"]
    bad = subprocess.run(search, check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
