"""Backbones that are fine-tuned: the split network is the whole one, and only what should move moves."""

import pytest
import torch
from torch import nn

from model.config import ModelConfig
from model.errors import ConfigError
from model.nn.aahr import AAHR, TokenBatch
from model.nn.backbones import ImageBackbone, load_image_backbone, load_text_backbone
from model.nn.features import LocalFeatures, map_in_chunks
from training.network import Backbones


@pytest.fixture(scope="module")
def efficientnet() -> ImageBackbone:
    return load_image_backbone("efficientnet-lite0")


@pytest.mark.parametrize("blocks", [1, 4, 7])
def test_stem_and_tail_are_the_whole_network(efficientnet: ImageBackbone, blocks: int) -> None:
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    stem, tail = efficientnet.split(blocks)
    with torch.inference_mode():
        whole, parts = efficientnet(pixels), tail(stem(pixels))
    torch.testing.assert_close(parts.features, whole.features)
    torch.testing.assert_close(parts.global_features, whole.global_features)
    assert parts.features.shape == (2, 49, tail.local_dimension)


def test_a_stem_is_cached_apart_from_the_whole_network(efficientnet: ImageBackbone) -> None:
    names = {efficientnet.name, efficientnet.split(3)[0].name, efficientnet.split(4)[0].name}
    assert len(names) == 3


def test_training_moves_the_tail_but_not_its_statistics(efficientnet: ImageBackbone) -> None:
    _, tail = efficientnet.split(1)
    norm = next(module for module in tail.modules() if isinstance(module, nn.BatchNorm2d))
    before = norm.running_mean.clone()  # type: ignore[union-attr]
    item = LocalFeatures(torch.randn(2, 49, 192), torch.ones(2, 49, dtype=torch.bool), torch.zeros(2, 192))
    tail.train()(item).features.sum().backward()
    assert torch.equal(norm.running_mean, before)  # type: ignore[arg-type]
    assert all(parameter.grad is not None for parameter in tail.parameters())


def test_more_blocks_than_there_are_are_refused(efficientnet: ImageBackbone) -> None:
    with pytest.raises(ConfigError, match=r"has 16 blocks; .*trainable_blocks = 17"):
        efficientnet.split(17)


def test_items_a_few_at_a_time_give_what_all_give_at_once() -> None:
    layer = nn.Linear(3, 2)
    item = LocalFeatures(torch.randn(5, 4, 3), torch.rand(5, 4) < 0.5, torch.randn(5, 3))
    parts = map_in_chunks(lambda each: each._replace(features=layer(each.features)), item, 2)
    torch.testing.assert_close(parts.features, layer(item.features))
    assert torch.equal(parts.mask, item.mask)
    assert torch.equal(parts.global_features, item.global_features)


def test_frozen_words_stay_and_the_rest_of_the_text_backbone_learns() -> None:
    text = load_text_backbone("minilm")
    text.freeze_words()
    backbones = Backbones(load_image_backbone("efficientnet-lite0"), text)
    config = ModelConfig.model_validate(
        {
            "image_backbone": {"name": "efficientnet-lite0"},
            "text_backbone": {"name": "minilm", "trainable": True, "frozen_words": True},
            "dimension": 16,
            "pooling": "k_max",
        }
    )
    network = AAHR(config, *backbones.dimensions, text)
    tokens = torch.tensor([[101, 2048, 6077, 102], [101, 1037, 4937, 102]])
    network.encode_texts(TokenBatch(tokens, torch.ones_like(tokens))).embedding[:, 0].sum().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert network.pretrained == {"text_backbone.network.embeddings.word_embeddings.weight"}
    assert {name for name in without if name.startswith("text_backbone")} == network.pretrained
