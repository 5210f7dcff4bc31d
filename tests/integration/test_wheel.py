"""The wheel, installed into an environment of its own and used outside of the checkout.

The environment borrows the packages of this one, so that nothing is downloaded; an install with everything from the
index is what the images are built by (docker/smoke).
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from model.manifest import sha256_of_file
from tests.conftest import PROJECT
from tests.galleries import IMAGES, BuiltGallery, build_gallery
from tests.servers import eventually, free_port, running

SOURCES = ("model", "training", "index", "service", "checkpoints")
WITHOUT_OURS = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AAHR_", "REDIS_"))}


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and an empty folder to work in."""

    environment: Path
    folder: Path

    def run(self, *command: str, extra: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """A program of the environment."""
        program, *arguments = command
        return subprocess.run(
            [str(self.environment / "bin" / program), *arguments],
            cwd=self.folder,
            env={**WITHOUT_OURS, **(extra or {})},
            capture_output=True,
            text=True,
            timeout=120,
        )


def build_wheel(folder: Path) -> Path:
    """From a copy of the sources: a build writes beside them."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (
        *PROJECT.glob("*.py"),
        *(PROJECT / name for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE")),
    ):
        shutil.copy(file, source)
    pip(folder, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(command, cwd=folder, env=WITHOUT_OURS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(folder)
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    # A path in a .pth file: the packages there can be imported, but their own .pth files, such as the one of this
    # checkout, are not read.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    pip(folder, "--python", str(environment / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    work = folder / "work"
    work.mkdir()
    return Installed(environment, work)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("gallery"))


def test_what_runs_is_what_was_installed(installed: Installed) -> None:
    code = "import cli, service, training; print(cli.__file__, service.__file__, training.__file__)"
    files = installed.run("python", "-P", "-c", code).stdout.split()
    assert len(files) == 3
    assert all(Path(file).is_relative_to(installed.environment) for file in files)
    assert installed.run("aahr", "--version").stdout == f"aahr {version('aahr')}\n"


def test_the_doctor_finds_nothing_wrong(installed: Installed) -> None:
    done = installed.run("aahr", "doctor", "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True), done.stdout


def test_the_default_model_comes_with_the_wheel(installed: Installed) -> None:
    done = installed.run("python", "-P", "-c", "import demo; print(demo.shipped_checkpoint())")
    shipped, ours = Path(done.stdout.strip()), PROJECT / "checkpoints" / "mini"
    assert shipped.is_relative_to(installed.environment)
    names = {path.name for path in ours.iterdir()}
    assert {path.name for path in shipped.iterdir()} == names
    assert [name for name in names if sha256_of_file(shipped / name) != sha256_of_file(ours / name)] == []


def test_recipes_and_classes_come_with_the_wheel(installed: Installed) -> None:
    code = (
        "from pathlib import Path; from training.config import load_config; print(load_config(Path('mini')).name); "
        "import model.descriptions.tags as tags; print(len(list(Path(tags.__file__).parent.glob('*.tsv'))))"
    )
    expected = len(list((PROJECT / "model" / "descriptions" / "tags").glob("*.tsv")))
    assert installed.run("python", "-P", "-c", code).stdout.split() == ["mini", str(expected)]
    assert expected > 0


def test_the_installed_service_answers(installed: Installed, gallery: BuiltGallery) -> None:
    port = free_port()
    program = str(installed.environment / "bin" / "aahr")
    command = [program, "serve", "--index", str(gallery.index), "--port", str(port)]
    with running(command, {"PYTHONPATH": ""}) as process:
        eventually(lambda: "Serving" in process.output or process.poll() is not None, "the service is ready")
        url = f"http://127.0.0.1:{port}"
        body = json.dumps({"text": "a blue picture"}).encode()
        request = urllib.request.Request(f"{url}/search", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["results"][0]["uri"] == IMAGES["blue"]
        for page in ("/", "/web/main.js", "/web/base.css", "/docs"):
            with urllib.request.urlopen(url + page, timeout=30) as answer:
                assert answer.status == 200


def test_searching_needs_no_checkout(installed: Installed, gallery: BuiltGallery) -> None:
    done = installed.run("aahr", "index", "search", str(gallery.index), "a red picture", "--limit", "1")
    assert IMAGES["red"] in done.stdout


@pytest.mark.parametrize(
    ("shell", "given"),
    [("bash", {"COMP_WORDS": "aahr ind", "COMP_CWORD": "1"}), ("zsh", {"_TYPER_COMPLETE_ARGS": "aahr ind"})],
)
def test_commands_are_completed(shell: str, given: dict[str, str], installed: Installed) -> None:
    done = installed.run("aahr", extra={"_AAHR_COMPLETE": f"complete_{shell}", **given})
    assert "index" in done.stdout


def test_a_missing_extra_is_one_line_that_names_it(installed: Installed, gallery: BuiltGallery) -> None:
    blocked = installed.folder / "blocked"
    blocked.mkdir()
    (blocked / "faiss.py").write_text("raise ModuleNotFoundError('no', name='faiss')")
    done = installed.run(
        "aahr", "index", "search", str(gallery.index), "a red picture", extra={"PYTHONPATH": str(blocked)}
    )
    assert done.returncode == 2
    assert done.stderr == "aahr: this needs faiss, which is not installed; pip install 'aahr[cpu]'\n"
