"""The command line: which commands and options there are, what loading them costs, and how errors look."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import cli
from model.errors import ArtifactMissing

ROOT = Path(__file__).parents[2]

# Renaming or removing one of these breaks somebody's script.
OPTIONS = {
    "data scenes": {"--out", "--count", "--seed"},
    "data clip": {"directory", "--images", "--clip", "--cache"},
    "data neighbours": {"captions", "--images", "--out", "--cache"},
    "train": {"config", "--out", "--set", "--resume", "--cache"},
    "average": {"first", "second", "--out", "--share", "--cache"},
    "evaluate": {
        *("directory", "--data", "--format", "--images", "--split", "--judgments", "--descriptions", "--json"),
        *("--cache", "--protocol", "--against", "--normalise"),
    },
    "calibrate": {"directory", "--data", "--format", "--images", "--descriptions", "--cache"},
    "export": {
        *("checkpoint", "--out", "--precision", "--check", "--data", "--images", "--descriptions", "--describer"),
        "--cache",
    },
    "import": {"directory", "--out", "--name", "--precision", "--check", "--data", "--images"},
    "describe": {
        *("--images", "--with", "--out", "--data", "--split", "--per", "--reference-captions", "--jobs", "--overwrite"),
        *("--describer", "--endpoint", "--model", "--key-env", "--temperature", "--max-tokens", "--image-side"),
        *("--timeout", "--deadline", "--prompt-price", "--completion-price"),
    },
    "index rebuild": {
        *("--model", "--out", "--images", "--captions", "--table", "--strict", "--regions", "--split"),
        *("--kind", "--memory", "--recall", "--workers", "--batch", "--max-rejects", "--engine", "--ray-address"),
        *("--descriptions", "--normalise", "--views"),
    },
    "index add": {
        *("index", "--images", "--captions", "--table", "--descriptions", "--model", "--workers", "--max-rejects"),
    },
    "index upsert": {
        *("index", "--images", "--captions", "--table", "--descriptions", "--model", "--workers", "--max-rejects"),
    },
    "index delete": {"index", "ids"},
    "index compact": {"index"},
    "index versions": {"index"},
    "index rollback": {"index", "--to"},
    "index prune": {"index", "--keep"},
    "index duplicates": {"index", "--target", "--threshold", "--json"},
    "index search": {
        *("index", "text", "--image", "--model", "--target", "--limit", "--offset", "--filter", "--unique"),
    },
    "serve": {"--index", "--model", "--host", "--port", "--workers"},
    "doctor": {"--index", "--model", "--json"},
    "demo": {"--images", "--port", "--directory", "--checkpoint", "--serve"},
}

LOADED_BY_HELP = """
import sys
import cli
sys.argv = ["aahr", "--help"]
try:
    cli.main()
except SystemExit as end:
    assert not end.code
heavy = {"torch", "transformers", "numpy", "faiss", "onnxruntime", "fastapi", "pyarrow", "training", "index", "service"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def commands(command: Any, *path: str) -> Iterator[tuple[str, set[str]]]:
    """Each command below `command`, with its arguments and the first name of each option."""
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from commands(child, *path, name)
    else:
        yield " ".join(path), {parameter.opts[0] for parameter in command.params}


def status_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit status of the command line in this process."""
    monkeypatch.setattr(sys, "argv", ["aahr", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def make_commands_fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever is called raises this error."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(typer.Typer, "__call__", fail)


def test_commands_and_options_keep_their_names() -> None:
    assert dict(commands(typer.main.get_command(cli.app))) == OPTIONS


@pytest.mark.parametrize("command", ["", *OPTIONS])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(cli.app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_the_help_of_serve_names_every_setting() -> None:
    from service.settings import Settings

    fields = Settings.model_fields.items()
    variables = {str(field.validation_alias or f"AAHR_{name.upper()}") for name, field in fields}
    shown = CliRunner().invoke(cli.app, ["serve", "--help"]).output
    assert {variable for variable in variables if variable not in shown} == set()


def test_help_loads_no_stage_and_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED_BY_HELP], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "search", "nowhere", "two dogs"),
        ("index", "rebuild", "--model", "nowhere", "--images", "docs", "--out", "var/never"),
        ("serve", "--index", "nowhere"),
        ("index", "rebuild", "--model", "nowhere", "--out", "var/never"),
        ("index", "rebuild", "--model", "nowhere", "--out", "x", "--regions", "y", "--captions", "z"),
        ("data", "clip", "nowhere", "--images", ".", "--clip", "."),
        ("data", "scenes", "--out", "tests", "--count", "1"),
        ("train", "nowhere.toml"),
        ("average", "nowhere", "nowhere", "--out", "var/never"),
        ("export", "nowhere", "--out", "var/never"),
        ("describe", "--images", "nowhere", "--with", "openai", "--out", "var/never"),
        ("calibrate", "nowhere", "--data", "nowhere.json", "--images", "."),
        ("evaluate", "nowhere", "--data", "nowhere.json", "--images", "."),
    ],
)
def test_error_is_one_line_and_status_2(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aahr: ")
    assert err.count("\n") == 1


def test_the_detail_of_an_error_is_printed_behind_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_commands_fail(
        monkeypatch, ArtifactMissing("image.onnx is not there; export it again", detail="/srv/model/image.onnx")
    )
    assert status_of(monkeypatch, "serve") == 2
    assert capsys.readouterr().err == "aahr: image.onnx is not there; export it again (/srv/model/image.onnx)\n"


def test_the_version_is_that_of_the_installed_project() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"aahr {version('aahr')}\n")


def test_a_missing_extra_is_one_line_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_commands_fail(monkeypatch, ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert status_of(monkeypatch, "export", "checkpoints/mini", "--out", "var/never") == 2
    assert capsys.readouterr().err == "aahr: this needs torch, which is not installed; pip install 'aahr[train]'\n"


def test_any_other_missing_module_is_a_fault_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    make_commands_fail(monkeypatch, ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere"))
    with pytest.raises(ModuleNotFoundError, match="elsewhere"):
        cli.main()


def test_unknown_option_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(monkeypatch, "serve", "--indx", "nowhere") == 2
    err = capsys.readouterr().err
    assert "Usage: aahr serve" in err
    assert "--indx" in err
