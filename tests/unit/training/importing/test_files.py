"""Directories that cannot be imported: what is missing or foreign is named, with what to do about it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import AahrError, ArtifactCorrupt, ArtifactMissing, ConfigError
from training.importing.files import open_model_directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The files of a CLIP, empty as far as they are not read."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def with_config(text: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        (directory / "config.json").write_text(text)

    return change


def without(name: str, *others: str) -> Callable[[Path], None]:
    """Without a file, and with empty other ones."""

    def change(directory: Path) -> None:
        (directory / name).unlink()
        for other in others:
            (directory / other).write_bytes(b"")

    return change


def with_shards(index: object) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        (directory / "model.safetensors").unlink()
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))

    return change


def test_a_whole_directory_is_taken(directory: Path) -> None:
    source = open_model_directory(directory)
    assert (source.model_type, [file.name for file in source.weights]) == ("clip", ["model.safetensors"])
    before = source.reference
    (directory / "model.safetensors").write_bytes(b"others")
    assert open_model_directory(directory).reference.weights_sha256 != before.weights_sha256
    assert open_model_directory(directory).reference.config_sha256 == before.config_sha256


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            without("config.json"),
            ArtifactMissing,
            "it has no config.json; give the directory that save_pretrained wrote",
        ),
        (with_config("{"), ArtifactCorrupt, "config.json cannot be read as JSON"),
        (with_config("[]"), ArtifactCorrupt, "config.json holds no JSON object, but []"),
        (with_config('{"model_type": "blip"}'), ConfigError, "a model of type 'blip'; clip and siglip can be imported"),
        (with_config('{"model_type": "siglip2"}'), ConfigError, "a model of type 'siglip2'; clip and siglip can be"),
        (with_config("{}"), ConfigError, "a model of type None"),
        (
            with_config('{"model_type": "clip", "text_config": 3}'),
            ArtifactCorrupt,
            "has a text_config that is not an object",
        ),
        (without("model.safetensors"), ArtifactMissing, "has no weights: put its model.safetensors there"),
        (without("model.safetensors", "pytorch_model.bin"), ConfigError, "a pickle that can run any code"),
        (without("model.safetensors", "open_clip.pt"), ConfigError, "as open_clip.pt alone, a pickle"),
        (without("model.safetensors", "tf_model.h5"), ConfigError, "as tf_model.h5 alone; copy its model.safetensors"),
        (without("tokenizer.json", "spiece.model"), ArtifactMissing, "has no tokenizer.json, and other files"),
        (with_shards({}), ArtifactCorrupt, "has no weight_map"),
        (with_shards({"weight_map": {"a": "1.safetensors"}}), ArtifactMissing, "lacks 1 of its 1 shards"),
        (with_shards({"weight_map": {"a": "../1.safetensors"}}), ArtifactCorrupt, "no shard in its directory"),
        (with_shards({"weight_map": {"a": "1.bin"}}), ArtifactCorrupt, "names '1.bin', which is no shard"),
    ],
)
def test_a_directory_that_cannot_be_imported_says_why(
    change: Callable[[Path], None], error: type[AahrError], message: str, directory: Path
) -> None:
    change(directory)
    with pytest.raises(error, match=re.escape(message)):
        open_model_directory(directory)
