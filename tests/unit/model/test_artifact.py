"""The model artifact is loaded strictly."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.artifact import REQUIRED_FILES, load_model_artifact, model_id_of
from model.errors import ArtifactCorrupt, ArtifactMissing
from model.manifest import FileEntry
from tests.artifacts import rewrite_manifest, write_colour_model, write_region_model


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_model(tmp_path_factory.mktemp("artifact") / "model").directory


@pytest.fixture
def directory(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "model"))


def change_manifest(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_sound_artifact_is_loaded(directory: Path) -> None:
    artifact = load_model_artifact(directory)
    assert artifact.manifest.dimension == 16
    assert artifact.manifest.image_input == "pixels"
    assert set(artifact.manifest.files) == set(REQUIRED_FILES)
    assert artifact.preprocessing.image is not None
    assert artifact.preprocessing.image.size == 8
    assert all(path.is_file() for path in (artifact.image_graph, artifact.text_graph, artifact.tokenizer_file))


def test_the_model_id_follows_from_the_bytes_alone(tmp_path: Path) -> None:
    first, again, other = (
        write_colour_model(tmp_path / name, seed=seed).manifest for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.model_id == again.model_id == model_id_of(first.files)
    assert first.model_id != other.model_id
    assert len(first.model_id) == 16


def test_the_model_id_is_the_hash_of_the_sorted_lines() -> None:
    files = {"b": FileEntry(bytes=1, sha256="1" * 64), "a": FileEntry(bytes=2, sha256="2" * 64)}
    assert model_id_of(files) == model_id_of(dict(reversed(files.items()))) == "3b3156c9f5c102a1"


def test_a_model_of_regions_has_no_image_preprocessing(tmp_path: Path) -> None:
    assert write_region_model(tmp_path / "model").preprocessing.image is None


@pytest.mark.parametrize("name", REQUIRED_FILES)
def test_a_flipped_byte_is_refused(directory: Path, name: str) -> None:
    content = bytearray((directory / name).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / name).write_bytes(content)
    with pytest.raises(ArtifactCorrupt, match=rf"{name} has SHA-256 \w+, its manifest says \w+"):
        load_model_artifact(directory)


@pytest.mark.parametrize("name", [*REQUIRED_FILES, "manifest.json"])
def test_a_deleted_file_is_refused(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(ArtifactMissing, match=name):
        load_model_artifact(directory)


def test_a_missing_directory_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="nowhere is not a model directory, as `aahr export` writes it"):
        load_model_artifact(tmp_path / "nowhere")


def test_a_directory_of_another_kind_is_refused_with_all_formats(directory: Path) -> None:
    change_manifest(directory, lambda manifest: manifest.update(format="aahr-index/1"))
    with pytest.raises(
        ArtifactCorrupt, match=r"'aahr-model/1', 'aahr-model/2' or 'aahr-model/3', found 'aahr-index/1'"
    ):
        load_model_artifact(directory)


@pytest.mark.parametrize("earlier", ["aahr-model/1", "aahr-model/2"])
def test_new_artifacts_have_the_third_format_and_earlier_ones_are_read_under_the_same_id(
    directory: Path, earlier: str
) -> None:
    latest = load_model_artifact(directory).manifest
    assert latest.format == "aahr-model/3"

    def as_then(manifest: dict[str, Any]) -> None:
        manifest.update(format=earlier)
        del manifest["semantics"]

    change_manifest(directory, as_then)
    found = load_model_artifact(directory).manifest
    assert (found.format, found.model_id, found.semantics) == (earlier, latest.model_id, None)


def test_a_model_id_that_does_not_follow_is_refused_with_both(directory: Path) -> None:
    expected = load_model_artifact(directory).manifest.model_id
    change_manifest(directory, lambda manifest: manifest.update(model_id="0" * 16))
    with pytest.raises(ArtifactCorrupt, match=f"model_id 0000000000000000, but its files make {expected}"):
        load_model_artifact(directory, verify=False)


def test_a_manifest_without_a_graph_is_refused(directory: Path) -> None:
    change_manifest(directory, lambda manifest: manifest["files"].pop("text.onnx"))
    with pytest.raises(ArtifactCorrupt, match=r"does not list text\.onnx"):
        load_model_artifact(directory)


def test_image_input_and_preprocessing_must_agree(directory: Path) -> None:
    change_manifest(directory, lambda manifest: manifest.update(image_input="regions"))
    with pytest.raises(ArtifactCorrupt, match="takes regions, but its image preprocessing is some"):
        load_model_artifact(directory)


def test_without_verification_bytes_are_not_hashed(directory: Path) -> None:
    (directory / "text.onnx").write_bytes(b"changed")
    assert load_model_artifact(directory, verify=False).manifest.name == "colours"
    (directory / "preprocessing.json").unlink()
    with pytest.raises(ArtifactMissing, match=r"preprocessing\.json cannot be read"):
        load_model_artifact(directory, verify=False)


def test_a_good_directory_works_after_bad_ones(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing):
        load_model_artifact(tmp_path)
    assert load_model_artifact(directory).manifest.model_id


def test_weights_beside_a_graph_are_bound_too(directory: Path) -> None:
    before = load_model_artifact(directory)
    (directory / "image.onnx.data").write_bytes(b"weights")
    rewritten = rewrite_manifest(before)
    assert "image.onnx.data" in rewritten.files
    assert rewritten.model_id != before.manifest.model_id
    (directory / "image.onnx.data").write_bytes(b"changed")
    with pytest.raises(ArtifactCorrupt, match=r"image\.onnx\.data"):
        load_model_artifact(directory)


def test_a_second_tokenizer_and_its_preprocessing_must_agree(directory: Path) -> None:
    before = load_model_artifact(directory)
    assert "text_global" not in (directory / "preprocessing.json").read_text(), "the id of older models is kept"
    (directory / "global_tokenizer.json").write_bytes(before.tokenizer_file.read_bytes())
    with pytest.raises(ArtifactCorrupt, match=r"global_tokenizer\.json is there, but .* is none"):
        rewrite_manifest(before)
    two = before.preprocessing.model_copy(update={"text_global": before.preprocessing.text})
    rewritten = rewrite_manifest(replace(before, preprocessing=two))
    assert load_model_artifact(directory).preprocessing.text_global == before.preprocessing.text
    assert "global_tokenizer.json" in rewritten.files
    (directory / "global_tokenizer.json").unlink()
    with pytest.raises(ArtifactCorrupt, match=r"global_tokenizer\.json is not there, but .* is some"):
        rewrite_manifest(replace(before, preprocessing=two))


def test_a_manifest_from_before_the_variants_is_an_fp32_model(directory: Path) -> None:
    change_manifest(directory, lambda manifest: manifest.pop("precision"))
    assert load_model_artifact(directory).manifest.precision == "fp32"


def test_a_precision_that_nobody_knows_is_refused(directory: Path) -> None:
    change_manifest(directory, lambda manifest: manifest.update(precision="int3"))
    with pytest.raises(ArtifactCorrupt, match="int3"):
        load_model_artifact(directory)
