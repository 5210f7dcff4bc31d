"""Which describer goes into a model's directory, and that it is the one of training."""

import shutil
from pathlib import Path

import pytest

from model.artifact import SemanticsReference, load_model_artifact
from model.descriptions import Source
from model.descriptions.of_model import describer_of_model, load_describer
from model.errors import ArtifactMismatch, ConfigError
from tests.artifacts import rewrite_manifest, write_colour_model
from tests.describers import write_describer as write_neighbours
from training.export import describers
from training.export.describers import write_describer
from training.export.tags import write_tags


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags")
    write_tags(folder)
    return folder


@pytest.fixture
def made(tags: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where tags were made: they are the same each time (test_tags.py), so that they are copied here."""
    folders: list[Path] = []

    def copy(folder: Path) -> None:
        folders.append(folder)
        for path in tags.iterdir():
            shutil.copyfile(path, folder / path.name)

    monkeypatch.setattr(describers, "write_tags", copy)
    return folders


def reference(source: Source) -> SemanticsReference:
    return SemanticsReference(
        describer=source.describer, prompt_hash=source.prompt_hash, sentence_encoder="colour-words"
    )


def test_neighbours_go_with_the_model_that_was_trained_on_them(tmp_path: Path) -> None:
    given = write_neighbours(tmp_path / "describer")
    source = load_describer("neighbours", given).source
    artifact = write_colour_model(tmp_path / "model", semantics=reference(source))
    assert describer_of_model(artifact) is None
    assert write_describer(artifact.directory, source, given) is None
    rewrite_manifest(artifact)
    described = load_model_artifact(artifact.directory)
    found = describer_of_model(described)
    assert found is not None
    assert found.source == source
    assert described.manifest.model_id != artifact.manifest.model_id  # it decides on embeddings


def test_tags_are_made_where_none_are_given(tmp_path: Path, tags: Path, made: list[Path]) -> None:
    source = load_describer("tags", tags).source
    for given in (None, tags):
        out = tmp_path / str(given is None)
        out.mkdir()
        assert write_describer(out, source, given) is None
        assert (out / "tags.onnx").read_bytes() == (tags / "tags.onnx").read_bytes()
        assert load_describer("tags", out).source == source
    assert made == [tmp_path / "True"]


@pytest.mark.usefixtures("made")
def test_another_describer_than_that_of_training_is_refused(tmp_path: Path, tags: Path) -> None:
    given = write_neighbours(tmp_path / "describer")
    for name, folder in (("tags", tags), ("neighbours", given), ("tags", None)):
        with pytest.raises(ArtifactMismatch, match=rf"the model was trained on descriptions by {name} \(ffff"):
            write_describer(tmp_path, Source(name, "f" * 16), folder)
    artifact = write_colour_model(tmp_path / "model", semantics=reference(Source("neighbours", "f" * 16)))
    write_neighbours(artifact.directory)
    rewrite_manifest(artifact)
    with pytest.raises(ArtifactMismatch, match="model describes with neighbours"):
        describer_of_model(load_model_artifact(artifact.directory))


def test_neighbours_that_are_not_given_are_told_of(tmp_path: Path) -> None:
    note = write_describer(tmp_path, Source("neighbours", "0" * 16), None)
    assert note is not None
    assert "give --describer" in note
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", [None, Source("openai:model", "0" * 16)])
def test_a_describer_for_a_model_that_takes_none_is_refused(tmp_path: Path, source: Source | None) -> None:
    assert write_describer(tmp_path, source, None) is None
    with pytest.raises(ConfigError, match="leave --describer out"):
        write_describer(tmp_path, source, tmp_path)
