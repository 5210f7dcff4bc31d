"""Semantics: frozen sentence embeddings fused with the embeddings of both encoders (VSD, section 3.2; DESIGN 5)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import SemanticsConfig
from model.nn.aggregation import GatedFusion
from model.nn.encoder import Encoding


class Semantics(NamedTuple):
    """Of a batch, in the order of its images and captions; L2-normalised but for missing descriptions."""

    images: Tensor  # [N, D]
    texts: Tensor  # [M, D]


class SentenceProjection(nn.Module):
    """Sentence embeddings [n, S] to semantics [n, D], both L2-normalised.

    Where S is D nothing changes; else it is a frozen PCA, (x - mean) basis, of which columns beyond S are zero.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, sentence_dimension: int, dimension: int) -> None:
        super().__init__()
        self.reduces = sentence_dimension != dimension
        if self.reduces:
            self.register_buffer("mean", torch.zeros(sentence_dimension))
            self.register_buffer("basis", torch.zeros(sentence_dimension, dimension))

    def forward(self, sentences: Tensor) -> Tensor:
        """[n, S] of any length to [n, D]."""
        sentences = F.normalize(sentences, dim=-1)
        return F.normalize((sentences - self.mean) @ self.basis, dim=-1) if self.reduces else sentences


class InstanceFusion(nn.Module):
    """norm(embedding + weight d), or the gated fusion of both, for one modality."""

    def __init__(self, config: SemanticsConfig, dimension: int) -> None:
        super().__init__()
        self.weight = config.weight
        self.fuses_local = config.relation == "fused"
        self.gate = GatedFusion(dimension) if config.fusion == "gate" else None

    def forward(self, encoding: Encoding, semantics: Tensor) -> Encoding:
        """An encoding of B items with semantics [B, D] to one whose embeddings hold both."""
        local = encoding.local_embedding
        return encoding._replace(
            embedding=self._fused(encoding.embedding, semantics),
            local_embedding=self._fused(F.normalize(local, dim=-1), semantics) if self.fuses_local else local,
            plain=encoding.embedding,
        )

    def _fused(self, embedding: Tensor, semantics: Tensor) -> Tensor:
        """Of an L2-normalised embedding [B, D]."""
        if self.gate is None:
            return F.normalize(embedding + self.weight * semantics, dim=-1)
        fused: Tensor = self.gate(embedding, semantics)
        return fused


class SemanticFusion(nn.Module):
    """Both modalities, with what stands in for a description that is missing: the mean of those of training.

    Attributes:
        missing: [D], not normalised; set from the training split, and kept with the checkpoint.
    """

    missing: Tensor

    def __init__(self, config: SemanticsConfig, dimension: int, sentence_dimension: int) -> None:
        super().__init__()
        self.projection = SentenceProjection(sentence_dimension, dimension)
        self.image = InstanceFusion(config, dimension)
        self.text = InstanceFusion(config, dimension)
        self.register_buffer("missing", torch.zeros(dimension))

    def fuse_images(self, encoding: Encoding, semantics: Tensor | None) -> Encoding:
        """With the semantics [N, D] of the images' descriptions; None: there is no description of any."""
        return self._fuse(self.image, encoding, semantics)

    def fuse_texts(self, encoding: Encoding, semantics: Tensor | None) -> Encoding:
        """With the semantics [M, D] of the texts themselves."""
        return self._fuse(self.text, encoding, semantics)

    def _fuse(self, fusion: InstanceFusion, encoding: Encoding, semantics: Tensor | None) -> Encoding:
        given = self.missing.expand_as(encoding.embedding) if semantics is None else semantics
        fused: Encoding = fusion(encoding, given)
        return fused
