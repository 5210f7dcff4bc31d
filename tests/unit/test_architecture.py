"""What holds of the project as a whole: its layout, who may import whom, and the sizes of files and functions."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("model", "training", "index", "service")
OTHER_FOLDERS = ("benchmarks", "checkpoints", "docker", "docs", "tests")
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40

IMPORT_WITHOUT_TORCH = """
import importlib, sys
for name in ("torch", "transformers", "safetensors"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def python_files(*folders: str) -> Iterator[Path]:
    yield from ROOT.glob("*.py")
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def serving_modules() -> list[str]:
    """Every module that serving and indexing may load: all of index, service and model but the network."""
    names = [module_name(file) for file in python_files("model", "index", "service")]
    return [name for name in names if not name.startswith("model.nn")]


def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_serving_and_indexing_import_without_torch() -> None:
    names = serving_modules()
    assert {"model.runtime", "index.rebuild", "service.app", "cli", "demo"} <= set(names)
    run = subprocess.run([sys.executable, "-c", IMPORT_WITHOUT_TORCH, *names], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_torch_is_really_blocked() -> None:
    run = subprocess.run([sys.executable, "-c", IMPORT_WITHOUT_TORCH, "model.nn.aahr"], cwd=ROOT, capture_output=True)
    assert b"ModuleNotFoundError" in run.stderr


def test_stages_import_only_what_they_may() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", ["cli.py", "cli_index.py", "demo.py"])
def test_command_line_imports_stages_only_when_they_are_called(name: str) -> None:
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.parse((ROOT / name).read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    ours = {module for module in imported if module and module.split(".")[0] in PACKAGES}
    assert ours <= {"model.errors"}


def test_listing_is_the_pipeline() -> None:
    assert all((ROOT / folder).is_dir() for folder in (*PACKAGES, *OTHER_FOLDERS))
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == {*PACKAGES, "tests"}
    assert {path.name for path in ROOT.glob("*.py")} == {"cli.py", "cli_index.py", "demo.py"}


def test_every_python_module_is_installed() -> None:
    setuptools = settings()["tool"]["setuptools"]
    assert {f"{name}.py" for name in setuptools["py-modules"]} == {path.name for path in ROOT.glob("*.py")}
    folders = {file.parent for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_extras_take_torch_out_of_serving_and_one_build_each() -> None:
    project = settings()["project"]
    extras = project["optional-dependencies"]
    assert set(extras) == {"cpu", "gpu", "train", "milvus", "coco", "ray", "dev"}
    assert [requirement.split(">")[0] for requirement in extras["cpu"]] == ["faiss-cpu", "onnxruntime"]
    assert [requirement.split(">")[0] for requirement in extras["gpu"]] == ["faiss-gpu", "onnxruntime-gpu"]
    everywhere = [*project["dependencies"], *extras["dev"], *extras["cpu"], *extras["gpu"]]
    assert not [requirement for requirement in everywhere if requirement.startswith(("torch", "transformers"))]


def test_no_file_is_a_drawer_for_odds_and_ends() -> None:
    names = {file.stem for file in python_files(*PACKAGES, "tests", "benchmarks")}
    assert not names & {"util", "utils", "helpers", "common", "misc"}


def test_files_can_be_read_at_one_sitting() -> None:
    files = python_files(*PACKAGES, "tests", "benchmarks")
    sizes = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    long = {
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}": size
        for file in python_files(*PACKAGES)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}
