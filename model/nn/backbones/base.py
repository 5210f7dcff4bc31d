"""The interface of all backbones: what goes in is what preprocessing returns, what comes out is `LocalFeatures`."""

import hashlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import ConfigError
from model.manifest import sha256_of_file
from model.nn.features import LocalFeatures
from model.preprocess import ImagePreprocessing, TextPreprocessing, TextTokenizer


class Backbone(nn.Module, ABC):
    """A pretrained encoder whose outputs feed ours.

    Loaded in evaluation mode with parameters that require gradients; who trains with it frozen freezes it.

    Attributes:
        name: as in the configuration, such as "minilm".
        fingerprint: hex SHA-256 that changes with the weights; part of the key of cached features.
        local_dimension: Dx of the local features.
        global_dimension: Dg of the global feature.
    """

    def __init__(self, name: str, fingerprint: str, *, local_dimension: int, global_dimension: int) -> None:
        super().__init__()
        self.name = name
        self.fingerprint = fingerprint
        self.local_dimension = local_dimension
        self.global_dimension = global_dimension

    @abstractmethod
    def forward(self, *inputs: Any, **named: Any) -> LocalFeatures:
        """Local features [B, R, Dx] with their mask [B, R], and the global features [B, Dg]."""


class ImageBackbone(Backbone):
    """Takes pixels [B, 3, H, W], or precomputed regions where `preprocessing` is None."""

    preprocessing: ImagePreprocessing | None

    def split(self, blocks: int) -> tuple["ImageBackbone", "ImageTail"]:  # noqa: ARG002
        """The part that stays frozen and the last `blocks`, which are trained; raises ConfigError where it has none."""
        raise ConfigError(f"backbone '{self.name}' cannot be fine-tuned: set model.image_backbone.trainable = false")


class ImageTail(nn.Module, ABC):
    """The last blocks of an image backbone: from what the rest returns to the features of the whole."""

    local_dimension: int
    global_dimension: int

    @abstractmethod
    def forward(self, item: LocalFeatures) -> LocalFeatures:
        """Features of the frozen part to those of the whole backbone."""


class TextBackbone(Backbone):
    """Takes input_ids [M, T] and attention_mask [M, T] as `tokenizer_file` (a tokenizer.json) makes them."""

    tokenizer_file: Path
    preprocessing: TextPreprocessing
    network: Any  # of `transformers`

    def read_tokenizer(self) -> TextTokenizer:
        """Its tokenizer; raises ArtifactCorrupt where the file holds none."""
        return TextTokenizer(self.tokenizer_file, self.preprocessing.max_length)

    def freeze_words(self) -> None:
        """Take the table of word embeddings out of training."""
        self.network.get_input_embeddings().requires_grad_(False)


def import_packaged(module: str, backbone: str) -> ModuleType:
    """A module that only this backbone needs; raises ConfigError naming the package to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.replace("_", "-")
        raise ConfigError(
            f"backbone '{backbone}' needs a package that is not installed: pip install {package}"
        ) from error


def fingerprint_of(files: Iterable[Path]) -> str:
    """One hex SHA-256 over the names and bytes of some files, in the order of their names."""
    lines = (f"{file.name}:{sha256_of_file(file)}" for file in sorted(files, key=lambda file: file.name))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def all_valid(features: Tensor) -> Tensor:
    """The mask [B, R] of features [B, R, Dx] without padding."""
    return torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
