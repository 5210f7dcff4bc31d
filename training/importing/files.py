"""The files of a directory as `save_pretrained` of `transformers` writes it: found, checked and hashed, not loaded."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import ArtifactCorrupt, ArtifactMissing, ConfigError
from model.manifest import sha256_of_file
from model.origins import ImportReference

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
MODEL_TYPES = ("clip", "siglip")
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
_OTHER_FRAMEWORKS = ("tf_model.h5", "flax_model.msgpack")


@dataclass(frozen=True)
class ModelDirectory:
    """A directory that has all files of a CLIP or SigLIP.

    Attributes:
        config: what config.json holds.
        weights: the files of weights, sorted by name.
        tokenizer_config: what tokenizer_config.json holds; empty where there is none.
    """

    directory: Path
    config: dict[str, Any]
    weights: tuple[Path, ...]
    tokenizer_config: dict[str, Any]

    @property
    def model_type(self) -> str:
        """One of MODEL_TYPES."""
        return str(self.config["model_type"])

    @property
    def reference(self) -> ImportReference:
        """What the manifest says of it; reads all weights."""
        hashes = "".join(f"{file.name}:{sha256_of_file(file)}\n" for file in self.weights)
        return ImportReference(
            model_type=self.model_type,
            weights_sha256=hashlib.sha256(hashes.encode()).hexdigest(),
            config_sha256=sha256_of_file(self.directory / CONFIG),
        )


def open_model_directory(directory: Path) -> ModelDirectory:
    """Check that a directory is a whole CLIP or SigLIP, without reading its weights.

    Raises ArtifactMissing for a file that is not there, ArtifactCorrupt for JSON that is damaged, and ConfigError for a
    model of another type and for weights that are not safetensors: nothing is ever unpickled.
    """
    if not (directory / CONFIG).is_file():
        raise ArtifactMissing(
            f"{directory} holds no model of transformers: it has no {CONFIG}; give the directory that save_pretrained "
            "wrote, or a whole copy of the model's files from the hub"
        )
    config = _read_json(directory / CONFIG)
    _check_model_type(directory, config)
    weights = _weights(directory)
    if not (directory / TOKENIZER).is_file():
        raise ArtifactMissing(
            f"{directory} has no {TOKENIZER}, and other files of tokenizers cannot be served; write it with python -c "
            f"\"from transformers import AutoTokenizer as T; T.from_pretrained('{directory}').save_pretrained('"
            f"{directory}')\", or copy it from the model's page on the hub"
        )
    file = directory / TOKENIZER_CONFIG
    return ModelDirectory(directory, config, weights, _read_json(file) if file.is_file() else {})


def _check_model_type(directory: Path, config: dict[str, Any]) -> None:
    found = config.get("model_type")
    if found not in MODEL_TYPES:
        raise ConfigError(
            f"{directory} holds a model of type {found!r:.60}; {' and '.join(MODEL_TYPES)} can be imported, with both "
            "towers (a SigLIP 2 of fixed image size is of type siglip)"
        )
    if absent := [part for part in ("text_config", "vision_config") if not isinstance(config.get(part, {}), dict)]:
        raise ArtifactCorrupt(f"{directory / CONFIG} has a {absent[0]} that is not an object; copy the file again")


def _weights(directory: Path) -> tuple[Path, ...]:
    if (directory / WEIGHTS).is_file():
        return (directory / WEIGHTS,)
    if (directory / WEIGHTS_INDEX).is_file():
        return _shards(directory)
    if pickles := [file for pattern in _PICKLES for file in sorted(directory.glob(pattern))]:
        raise ConfigError(
            f"{directory} has its weights as {pickles[0].name} alone, a pickle that can run any code when it is read; "
            'convert it on a machine where that does no harm, with python -c "from transformers import AutoModel as M; '
            f"M.from_pretrained('{directory}').save_pretrained('{directory}')\", to {WEIGHTS}"
        )
    if others := [name for name in _OTHER_FRAMEWORKS if (directory / name).is_file()]:
        raise ConfigError(f"{directory} has its weights as {others[0]} alone; copy its {WEIGHTS} there")
    raise ArtifactMissing(f"{directory} has no weights: put its {WEIGHTS} there, or all shards with {WEIGHTS_INDEX}")


def _shards(directory: Path) -> tuple[Path, ...]:
    index = directory / WEIGHTS_INDEX
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ArtifactCorrupt(f"{index} has no weight_map; copy the file again")
    names = sorted({str(name) for name in places.values()})
    if foreign := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
        raise ArtifactCorrupt(f"{index} names {foreign[0]!r:.80}, which is no shard in its directory; copy it again")
    if missing := [name for name in names if not (directory / name).is_file()]:
        raise ArtifactMissing(
            f"{directory} lacks {len(missing)} of its {len(names)} shards of weights, the first is {missing[0]}; copy "
            "it there"
        )
    return tuple(directory / name for name in names)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactCorrupt(f"{file} cannot be read as JSON: {error}; copy it again") from error
    if not isinstance(found, dict):
        raise ArtifactCorrupt(f"{file} holds no JSON object, but {found!r:.40}; copy it again")
    return found
