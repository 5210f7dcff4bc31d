"""The encoders: padding never matters, presets leave out what they say, and batch norm sees valid cells only."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import FeatureDimensions, ImageBackboneConfig, ModelConfig, TextBackboneConfig
from model.nn.aahr import AAHR, TokenBatch
from model.nn.encoder import encode_by_length
from model.nn.features import LocalFeatures
from model.nn.image_encoder import CellReduction, ImageProjection, grid_average

DIMENSIONS = FeatureDimensions(local_dimension=12, global_dimension=10)


def tiny_config(**changes: object) -> ModelConfig:
    values: dict[str, object] = {
        "image_backbone": ImageBackboneConfig(name="efficientnet-lite0"),
        "text_backbone": TextBackboneConfig(name="minilm"),
        "dimension": 16,
        "pooling_heads": 4,
        "relation_heads": 4,
        "head_width": "split",
    }
    return ModelConfig.model_validate({**values, **changes})


def padded_item(count: list[int], cells: int = 6) -> LocalFeatures:
    mask = torch.arange(cells) < torch.tensor(count)[:, None]
    features = torch.randn(len(count), cells, 12)
    return LocalFeatures(features, mask, torch.randn(len(count), 10))


@pytest.mark.parametrize("pooling", ["k_max", "gglp", "mean"])
@pytest.mark.parametrize("side", ["image", "text"])
def test_an_item_alone_equals_the_same_item_in_a_padded_batch(pooling: str, side: str) -> None:
    torch.manual_seed(0)
    network = AAHR(tiny_config(pooling=pooling), DIMENSIONS, DIMENSIONS).eval()
    encode = network.encode_images if side == "image" else network.encode_texts
    item = padded_item([6, 1, 3])
    with torch.no_grad():
        batch = encode(item)
        for row, count in enumerate((6, 1, 3)):
            alone = encode(
                LocalFeatures(
                    item.features[row : row + 1, :count],
                    item.mask[row : row + 1, :count],
                    item.global_features[row : row + 1],
                )
            )
            torch.testing.assert_close(batch.embedding[row], alone.embedding[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(batch.local_embedding[row], alone.local_embedding[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(batch.local_features[row, :count], alone.local_features[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(batch.embedding.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("pooling", ["k_max", "gglp", "mean"])
def test_local_features_are_the_projection_before_the_fragment_relation(pooling: str) -> None:
    torch.manual_seed(0)
    network = AAHR(tiny_config(pooling=pooling), DIMENSIONS, DIMENSIONS).eval()
    item = padded_item([6, 1, 3])
    for encoder in (network.image_encoder, network.text_encoder):
        torch.testing.assert_close(encoder(item).local_features, encoder.projection(item.features, item.mask))


def test_what_stands_at_masked_places_does_not_matter_in_training_either() -> None:
    item = padded_item([6, 2, 4])
    garbage = item.features.masked_fill(~item.mask.unsqueeze(-1), 1e4)
    found: list[Tensor] = []
    for features in (item.features, garbage):
        torch.manual_seed(1)
        network = AAHR(tiny_config(dropout=0.0), DIMENSIONS, DIMENSIONS).train()
        found.append(network.encode_images(item._replace(features=features)).embedding)
        found.append(network.image_encoder.projection.norm.running_mean.clone())
    torch.testing.assert_close(found[0], found[2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1], found[3])


def test_batch_norm_of_the_projection_sees_the_valid_cells() -> None:
    torch.manual_seed(2)
    projection = ImageProjection(12, 16).train()
    item = padded_item([5, 2], cells=5)
    projection(item.features, item.mask)
    valid = projection.hidden(item.features)[item.mask]
    torch.testing.assert_close(projection.norm.running_mean, 0.1 * valid.mean(dim=0))


def test_presets_leave_out_the_parts_that_they_switch_off() -> None:
    names = {
        pooling: {
            name.split(".")[0] for name, _ in AAHR(config, DIMENSIONS, DIMENSIONS).image_encoder.named_parameters()
        }
        for pooling, config in {
            "vse": tiny_config(pooling="k_max"),
            "aahr": tiny_config(),
            "hrem": tiny_config(pooling="mean", global_fusion=False),
        }.items()
    }
    assert names["vse"] == {"projection", "global_projection", "fusion"}
    assert names["aahr"] == {"projection", "relation", "guided_pooling", "global_projection", "fusion"}
    assert names["hrem"] == {"projection", "relation"}


def test_every_parameter_of_the_network_gets_a_gradient() -> None:
    torch.manual_seed(3)
    network = AAHR(tiny_config(), DIMENSIONS, DIMENSIONS)
    for encode in (network.encode_images, network.encode_texts):
        encoding = encode(padded_item([6, 3]))
        (encoding.embedding * torch.randn(2, 16)).sum().backward()
    missing = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert missing == ["image_encoder.projection.hidden.bias"]  # batch norm takes it out again


def test_the_reduction_is_a_centred_projection() -> None:
    reduction = CellReduction(12, 8)
    reduction.mean.normal_()
    reduction.basis.normal_()
    cells = torch.randn(2, 3, 12)
    torch.testing.assert_close(reduction(cells)[1, 2], (cells[1, 2] - reduction.mean) @ reduction.basis)
    assert not list(reduction.parameters())


@pytest.mark.parametrize(("side", "coarse"), [(7, 4), (7, 3), (7, 7), (6, 1)])
def test_the_coarser_grid_is_that_of_adaptive_pooling(side: int, coarse: int) -> None:
    torch.manual_seed(4)
    cells = torch.randn(2, side * side, 5)
    image = cells.transpose(1, 2).view(2, 5, side, side)
    expected = F.adaptive_avg_pool2d(image, coarse).flatten(2).transpose(1, 2)
    torch.testing.assert_close(grid_average(side, coarse) @ cells, expected)


def test_reduced_items_keep_padding_unless_the_grid_is_coarser() -> None:
    item = padded_item([4, 2], cells=4)
    assert torch.equal(CellReduction(12, 8).reduce(item).mask, item.mask)
    coarse = CellReduction(12, 8, grid=1).reduce(item)
    assert coarse.features.shape == (2, 1, 8)
    assert coarse.mask.tolist() == [[True], [True]]


def test_buckets_by_length_return_what_one_batch_returns() -> None:
    torch.manual_seed(5)
    network = AAHR(tiny_config(), DIMENSIONS, DIMENSIONS).eval()
    item = padded_item([6, 1, 3, 6, 2], cells=8)
    holes = item.mask.clone()
    holes[0, 2] = False
    item = item._replace(mask=holes)
    whole, grouped = (
        network.text_encoder(item),
        encode_by_length(partial(network._encode_states, item), item.mask, per_group=2),
    )
    torch.testing.assert_close(grouped.embedding, whole.embedding, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(grouped.local_embedding, whole.local_embedding, atol=1e-5, rtol=1e-5)
    assert torch.equal(grouped.mask, whole.mask)
    valid = item.mask
    torch.testing.assert_close(grouped.local_features[valid], whole.local_features[valid], atol=1e-5, rtol=1e-5)


def test_token_ids_need_a_trained_text_backbone() -> None:
    network = AAHR(tiny_config(), DIMENSIONS, DIMENSIONS)
    tokens = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(TypeError, match="frozen"):
        network.encode_texts(TokenBatch(tokens, tokens))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dimension": 20, "relation_heads": 16}, "relation_heads 16"),
        ({"pooling": "gglp", "global_fusion": False}, "guided"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        tiny_config(**changes)
