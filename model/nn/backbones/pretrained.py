"""Backbones kept as directories in the format of `transformers`: found, loaded whole, and fingerprinted."""

from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from model.errors import ConfigError
from model.nn.backbones.base import fingerprint_of

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_HUB_FILES = ("*.json", "*.txt", "*.safetensors")

_log: Any = transformers_logging  # it has no types


def find_directory(name: str, path: Path | None, hub_id: str) -> Path:
    """The directory given, else the copy that the hub's own cache holds or downloads.

    Raises ConfigError that says which files to put where.
    """
    if path is not None:
        if not (path / CONFIG).is_file():
            raise ConfigError(
                f"{path} holds no model for backbone '{name}': it has no {CONFIG}; put the files of '{hub_id}' there"
            )
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"backbone '{name}' is neither on this machine nor can '{hub_id}' be fetched; copy its files to a "
            f"directory and set its path in the configuration"
        ) from error


def required_file(directory: Path, file: str, name: str) -> Path:
    """A file of the directory that the backbone cannot do without; raises ConfigError."""
    if not (directory / file).is_file():
        raise ConfigError(f"{directory} is incomplete for backbone '{name}': put its {file} there")
    return directory / file


def fingerprint_of_directory(directory: Path) -> str:
    """Over the weights and the configuration, which both decide what comes out."""
    weights = [file for pattern in _WEIGHTS for file in directory.glob(pattern)]
    return fingerprint_of([directory / CONFIG, *weights])


def load_pretrained(model_class: Any, directory: Path) -> Any:
    """The model in float32 and evaluation mode, without log lines; raises ConfigError where weights are missing."""
    verbosity, progress = _log.get_verbosity(), _log.is_progress_bar_enabled()
    _log.set_verbosity(_log.ERROR)
    _log.disable_progress_bar()
    try:
        model, report = model_class.from_pretrained(
            directory, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # Damaged files raise what their readers raise: JSON, safetensors, pickle, shapes.
        raise ConfigError(f"{directory} cannot be loaded as {model_class.__name__}: {_one_line(error)}") from error
    finally:
        _log.set_verbosity(verbosity)
        if progress:
            _log.enable_progress_bar()
    # The pooler of BERT is not part of any feature, and many checkpoints lack it.
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith("pooler.")):
        raise ConfigError(
            f"{directory} lacks {len(missing)} weights of {model_class.__name__}, the first is {missing[0]}; "
            f"copy the whole model there"
        )
    return model.eval()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
