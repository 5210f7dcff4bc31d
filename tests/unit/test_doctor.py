"""`aahr doctor`: what it finds, what it advises, and when its exit status is 1."""

import json
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
import cli_doctor
from cli_doctor import Finding, examine
from tests.artifacts import write_colour_model
from tests.galleries import BuiltGallery, build_gallery
from tests.servers import free_port, redis_server


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("gallery"))


def of(part: str, findings: list[Finding]) -> Finding:
    """The last finding of a part."""
    return [finding for finding in findings if finding.part == part][-1]


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["doctor", *arguments], env=dict(environment or {}))
    return result.exit_code, result.output


def report(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    status, output = run(*arguments, "--json", environment=environment)
    shown: dict[str, Any] = json.loads(output)
    return status, shown


def test_a_sound_installation_has_no_problem(gallery: BuiltGallery) -> None:
    status, output = run("--index", str(gallery.index))
    assert status == 0
    for said in ("CPUExecutionProvider", "CPU build", " usable", "4 images, 4 captions"):
        assert said in output
    assert "problem" not in output


def test_json_holds_every_finding_with_its_remedy(gallery: BuiltGallery) -> None:
    status, shown = report("--index", str(gallery.index))
    assert (status, shown["ok"]) == (0, True)
    parts = [finding["part"] for finding in shown["findings"]]
    order = (
        "python",
        "aahr",
        "extras",
        "onnxruntime",
        "faiss",
        "torch",
        "cores",
        "settings",
        "redis",
        "index",
        "model",
    )
    assert parts == list(order)
    assert all(set(finding) == {"part", "status", "detail", "remedy"} for finding in shown["findings"])


def test_an_index_that_is_not_there_is_one_problem_with_its_remedy(tmp_path: Path) -> None:
    status, shown = report("--index", str(tmp_path / "none"))
    problems = [finding for finding in shown["findings"] if finding["status"] == "problem"]
    assert (status, shown["ok"]) == (1, False)
    assert [problem["part"] for problem in problems] == ["index"]
    assert problems[0]["remedy"].startswith("build one with `aahr index rebuild")


def test_the_environment_names_index_and_model(gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAHR_INDEX_DIR", str(gallery.index))
    monkeypatch.setenv("AAHR_MODEL_DIR", str(gallery.model))
    findings = examine()
    assert of("index", findings).detail.startswith(str(gallery.index))
    assert of("model", findings).detail.startswith(str(gallery.model))
    assert of("settings", findings).detail == "AAHR_INDEX_DIR, AAHR_MODEL_DIR set"


def test_another_model_than_the_indexs_is_a_problem(gallery: BuiltGallery, tmp_path: Path) -> None:
    write_colour_model(tmp_path / "other", seed=1)
    found = of("model", examine(str(gallery.index), tmp_path / "other"))
    assert found.status == "problem"
    assert found.remedy is not None
    assert "rebuild it" in found.remedy


def test_a_model_alone_is_loaded_and_encodes(gallery: BuiltGallery) -> None:
    found = of("model", examine(model=gallery.model))
    assert found.status == "ok"
    assert "dimension 16" in found.detail
    assert found.detail.endswith("on the CPU")


def test_a_misspelt_setting_is_a_problem_that_is_named_once() -> None:
    status, shown = report(environment={"AAHR_PRT": "9000"})
    problems = [finding for finding in shown["findings"] if finding["status"] == "problem"]
    assert status == 1
    assert [(problem["part"], problem["remedy"]) for problem in problems] == [("settings", "did you mean AAHR_PORT?")]


def test_a_redis_that_answers_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
    with redis_server(port):
        found = of("redis", examine())
    assert f"127.0.0.1:{port} answers in" in found.detail


def test_a_redis_that_does_not_answer_is_a_warning_without_its_password() -> None:
    port = free_port()
    status, output = run(environment={"REDIS_URL": f"redis://:secret@127.0.0.1:{port}/0"})
    assert status == 0
    assert f"127.0.0.1:{port} does not answer" in output
    assert "secret" not in output


@pytest.mark.parametrize(("module", "extra"), [("faiss", "cpu"), ("onnxruntime", "cpu")])
def test_a_missing_module_is_a_problem_with_the_extra_that_brings_it(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    found = of(module, examine())
    assert (found.status, found.remedy) == ("problem", f"pip install 'aahr[{extra}]'")


def test_two_builds_of_one_module_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_doctor, "version", lambda _: "1.0")
    found = [finding for finding in examine() if "both installed" in finding.detail]
    assert [finding.part for finding in found] == ["onnxruntime", "faiss"]
    assert found[1].detail == "faiss-cpu and faiss-gpu are both installed"


def test_required_packages_that_are_gone_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = cli_doctor.version

    def version(name: str) -> str:
        if name == "limits":
            raise PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(cli_doctor, "version", version)
    found = of("aahr", examine())
    assert (found.status, found.detail, found.remedy) == ("problem", "not installed: limits", "pip install limits")


def test_a_check_that_fails_itself_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.delattr(onnxruntime, "get_available_providers")
    findings = examine()
    assert of("onnxruntime", findings).detail.startswith("AttributeError: ")
    assert of("faiss", findings).status == "ok"


def test_a_gpu_build_without_its_libraries_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("onnxruntime", "faiss-gpu"):
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(cli_doctor, "version", version)
    found = of("onnxruntime", examine())
    assert (found.status, "CUDA" in (found.remedy or "")) == ("warning", True)
