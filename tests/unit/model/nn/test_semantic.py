"""Fusion with semantics against slow, obvious versions of the equations (VSD, section 3.2; DESIGN 5)."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import (
    FeatureDimensions,
    ImageBackboneConfig,
    ModelConfig,
    SemanticsConfig,
    TextBackboneConfig,
)
from model.nn.aahr import AAHR
from model.nn.encoder import Encoding
from model.nn.features import LocalFeatures
from model.nn.semantic import InstanceFusion, SentenceProjection

WIDTH, D, N = 12, 16, 5
DIMENSIONS = FeatureDimensions(local_dimension=WIDTH, global_dimension=WIDTH)


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def length_one(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def encoding() -> Encoding:
    torch.manual_seed(0)
    return Encoding(unit(N, D), torch.randn(N, D), torch.randn(N, 3, D), torch.ones(N, 3, dtype=torch.bool))


def network(semantics: SemanticsConfig | None) -> AAHR:
    torch.manual_seed(0)
    config = ModelConfig(
        image_backbone=ImageBackboneConfig(name="efficientnet-lite0"),
        text_backbone=TextBackboneConfig(name="minilm"),
        dimension=D,
        pooling_heads=4,
        relation_heads=4,
        head_width="split",
        semantics=semantics,
    )
    return AAHR(config, DIMENSIONS, DIMENSIONS, sentence_dimension=None if semantics is None else D).eval()


def features(count: int = N) -> LocalFeatures:
    generator = torch.Generator().manual_seed(3)
    cells = torch.randn(count, 4, WIDTH, generator=generator)
    return LocalFeatures(cells, torch.ones(count, 4, dtype=torch.bool), cells.mean(dim=1))


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_sum_is_that_of_the_equation(weight: float) -> None:
    before, semantics = encoding(), unit(N, D)
    found = InstanceFusion(SemanticsConfig(weight=weight), D)(before, semantics)
    expected = [
        length_one([e + weight * d for e, d in zip(embedding, description, strict=True)])
        for embedding, description in zip(before.embedding.tolist(), semantics.tolist(), strict=True)
    ]
    torch.testing.assert_close(found.embedding, torch.tensor(expected))
    assert torch.equal(found.plain, before.embedding)
    assert torch.equal(found.local_embedding, before.local_embedding)
    assert torch.equal(found.local_features, before.local_features)


def test_the_gate_is_that_of_the_equation() -> None:
    before, semantics = encoding(), unit(N, D)
    fusion = InstanceFusion(SemanticsConfig(fusion="gate"), D)
    found = fusion(before, semantics)
    assert fusion.gate is not None
    weight, bias = fusion.gate.gate.weight.tolist(), fusion.gate.gate.bias.tolist()
    expected = []
    for embedding, description in zip(before.embedding.tolist(), semantics.tolist(), strict=True):
        both = embedding + description
        share = [
            1 / (1 + math.exp(-(sum(w * x for w, x in zip(row, both, strict=True)) + b)))
            for row, b in zip(weight, bias, strict=True)
        ]
        mixed = [a * e + (1 - a) * d for a, e, d in zip(share, embedding, description, strict=True)]
        expected.append(length_one(mixed))
    torch.testing.assert_close(found.embedding, torch.tensor(expected))


def test_the_relation_sees_fused_vectors_where_the_config_says_so() -> None:
    before, semantics = encoding(), unit(N, D)
    found = InstanceFusion(SemanticsConfig(relation="fused"), D)(before, semantics)
    expected = F.normalize(F.normalize(before.local_embedding, dim=-1) + semantics, dim=-1)
    torch.testing.assert_close(F.normalize(found.local_embedding, dim=-1), expected)


def test_both_modalities_are_fused_and_what_was_not_described_is_the_missing_description() -> None:
    fused, plain = network(SemanticsConfig()), network(None)
    assert fused.semantics is not None
    fused.semantics.missing.copy_(torch.randn(D) / 4)
    with torch.no_grad():
        alone = plain.encode_images(features()).embedding
        semantics = unit(N, D)
        images = fused.encode_images(features(), semantics)
        texts = fused.encode_texts(features(), semantics)
        missing = fused.encode_images(features())
    torch.testing.assert_close(images.plain, alone)
    torch.testing.assert_close(images.embedding, F.normalize(alone + semantics, dim=-1))
    torch.testing.assert_close(texts.embedding, F.normalize(texts.plain + semantics, dim=-1))
    torch.testing.assert_close(missing.embedding, F.normalize(alone + fused.semantics.missing, dim=-1))


def test_semantics_for_a_network_that_fuses_none_are_refused() -> None:
    for encode in (network(None).encode_images, network(None).encode_texts):
        with pytest.raises(TypeError, match="fuses none"):
            encode(features(), unit(N, D))


def test_sentence_embeddings_of_the_same_width_are_only_normalised() -> None:
    sentences = 3 * torch.randn(N, D)
    torch.testing.assert_close(SentenceProjection(D, D)(sentences), F.normalize(sentences, dim=-1))
    assert not list(SentenceProjection(D, D).buffers())


def test_sentence_embeddings_of_another_width_go_through_the_frozen_projection() -> None:
    projection = SentenceProjection(D, 6)
    projection.mean.copy_(torch.randn(D))
    projection.basis.copy_(torch.randn(D, 6))
    sentences = 3 * torch.randn(N, D)
    expected = F.normalize((F.normalize(sentences, dim=-1) - projection.mean) @ projection.basis, dim=-1)
    torch.testing.assert_close(projection(sentences), expected)
    assert not list(projection.parameters())
