"""Pretrained encoders behind one small interface; importing this loads no weights and downloads nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from model.errors import ConfigError
from model.nn.backbones.base import Backbone, ImageBackbone, ImageTail, TextBackbone
from model.nn.backbones.clip import (
    EMBEDDING,
    TEXT,
    TEXT_EMBEDDING,
    load_clip,
    load_clip_embedding,
    load_clip_text,
    load_clip_text_embedding,
)
from model.nn.backbones.efficientnet import load_efficientnet_lite0
from model.nn.backbones.regions import load_regions
from model.nn.backbones.transformer import load_bert, load_bge, load_minilm

__all__ = [
    "ImageBackbone",
    "ImageTail",
    "TextBackbone",
    "load_image_backbone",
    "load_sentence_encoder",
    "load_text_backbone",
    "load_text_global_backbone",
]

B = TypeVar("B", bound=Backbone)

_IMAGE: Mapping[str, Callable[[Path | None], ImageBackbone]] = {
    "efficientnet-lite0": load_efficientnet_lite0,
    "clip": load_clip,
    EMBEDDING: load_clip_embedding,
    "regions": load_regions,
}
_TEXT: Mapping[str, Callable[[Path | None], TextBackbone]] = {
    "minilm": load_minilm,
    "bert": load_bert,
    TEXT: load_clip_text,
}
_TEXT_GLOBAL: Mapping[str, Callable[[Path | None], TextBackbone]] = {TEXT_EMBEDDING: load_clip_text_embedding}
_SENTENCE: Mapping[str, Callable[[Path | None], TextBackbone]] = {"minilm": load_minilm, "bge": load_bge}


def load_image_backbone(name: str, path: Path | None = None) -> ImageBackbone:
    """An image backbone by the name in the configuration.

    `path`: the weights file or directory, where they come from no package. Raises ConfigError that says what to
    install or where to put the files.
    """
    return _load(_IMAGE, "image", name, path)


def load_text_backbone(name: str, path: Path | None = None) -> TextBackbone:
    """A text backbone by the name in the configuration; see `load_image_backbone`."""
    return _load(_TEXT, "text", name, path)


def load_text_global_backbone(name: str, path: Path | None = None) -> TextBackbone:
    """An encoder of the text's global feature alone, by the name in the configuration; see `load_image_backbone`."""
    return _load(_TEXT_GLOBAL, "text global", name, path)


def load_sentence_encoder(name: str, path: Path | None = None) -> TextBackbone:
    """An encoder of whole sentences, which are its global features; see `load_image_backbone`."""
    return _load(_SENTENCE, "sentence", name, path)


def _load(loaders: Mapping[str, Callable[[Path | None], B]], kind: str, name: str, path: Path | None) -> B:
    if name not in loaders:
        raise ConfigError(f"there is no {kind} backbone '{name}'; choose one of {', '.join(sorted(loaders))}")
    if path is not None and not path.exists():
        raise ConfigError(f"{path} of {kind} backbone '{name}' does not exist")
    return loaders[name](path).eval()
