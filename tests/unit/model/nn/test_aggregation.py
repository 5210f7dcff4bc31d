"""Pooling and fusion against the golden tensors and against obvious loops."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.nn.aggregation import GatedFusion, GlobalGuidedPooling, k_max_mean
from tests.golden import TOLERANCE, load_golden


def golden_pooling(arrays: dict[str, Tensor]) -> GlobalGuidedPooling:
    pooling = GlobalGuidedPooling(32, heads=8, width="full", learn_temperature=False)
    for name in ("query", "key", "value"):
        layer = getattr(pooling, name)
        layer.weight = torch.nn.Parameter(arrays[f"{name}_weight"].reshape(-1, 32))
        layer.bias = torch.nn.Parameter(arrays[f"{name}_bias"].reshape(-1))
    return pooling


def test_guided_pooling_is_golden() -> None:
    arrays = load_golden("aggregation")
    pooling = golden_pooling(arrays)
    features, global_features = arrays["related_features"], arrays["projected_global"]
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    torch.testing.assert_close(pooling.attention(features, mask, global_features), arrays["attention"], **TOLERANCE)
    torch.testing.assert_close(pooling(features, mask, global_features), arrays["pooled"], **TOLERANCE)


def test_residual_pooling_and_fusion_are_golden() -> None:
    arrays = load_golden("aggregation")
    features = arrays["residual_features"]
    residual = k_max_mean(features, torch.ones(features.shape[:2], dtype=torch.bool), int(arrays["k"]))
    torch.testing.assert_close(residual, arrays["k_max_mean"], **TOLERANCE)
    beta = float(arrays["beta"])
    local = beta * residual + (1 - beta) * arrays["pooled"]
    torch.testing.assert_close(local, arrays["local"], **TOLERANCE)
    fusion = GatedFusion(32)
    fusion.gate.weight = torch.nn.Parameter(arrays["gate_weight"])
    fusion.gate.bias = torch.nn.Parameter(arrays["gate_bias"])
    torch.testing.assert_close(fusion(local, arrays["projected_global"]), arrays["fused_normalised"], **TOLERANCE)


def test_k_max_mean_of_short_items_uses_what_they_have() -> None:
    features = torch.tensor([[[1.0], [5.0], [3.0]], [[-2.0], [9.0], [9.0]]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert k_max_mean(features, mask, 2).tolist() == [[4.0], [-2.0]]
    assert k_max_mean(features[:, :1], mask[:, :1], 2).tolist() == [[1.0], [-2.0]]


def test_k_max_mean_does_not_hide_values_that_are_not_finite() -> None:
    features = torch.tensor([[[1.0], [float("inf")], [3.0]], [[-2.0], [float("inf")], [float("inf")]]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert k_max_mean(features, mask, 2).tolist() == [[float("inf")], [-2.0]]
    assert k_max_mean(-features, mask, 3)[0].tolist() == [float("-inf")]
    assert k_max_mean(features.nan_to_num(posinf=float("nan")), mask, 2).isnan().tolist() == [[True], [False]]
    assert k_max_mean(features, torch.zeros_like(mask), 2).tolist() == [[0.0], [0.0]]


def slow_pooling(pooling: GlobalGuidedPooling, cells: Tensor, global_features: Tensor) -> Tensor:
    """One item [R, D] without padding, head by head."""
    width = pooling.value.out_features // pooling.heads
    heads = []
    for head in range(pooling.heads):
        part = slice(head * width, (head + 1) * width)
        query = F.linear(global_features, pooling.query.weight[part], pooling.query.bias[part])
        key = F.linear(cells, pooling.key.weight[part], pooling.key.bias[part])
        value = F.linear(cells, pooling.value.weight[part], pooling.value.bias[part])
        weights = F.cosine_similarity(key, query.unsqueeze(0), dim=1).softmax(dim=0)
        heads.append((weights[:, None] * value).sum(dim=0))
    return torch.stack(heads).mean(dim=0) if pooling.average else torch.cat(heads)


@pytest.mark.parametrize("width", ["full", "split"])
def test_guided_pooling_equals_loops_and_padding_is_irrelevant(width: str) -> None:
    torch.manual_seed(0)
    pooling = GlobalGuidedPooling(16, heads=4, width=width, learn_temperature=False)
    cells, global_features = torch.randn(3, 5, 16), torch.randn(3, 16)
    count = torch.tensor([5, 2, 1])
    pooled = pooling(cells, torch.arange(5) < count[:, None], global_features)
    for item in range(3):
        expected = slow_pooling(pooling, cells[item, : count[item]], global_features[item])
        torch.testing.assert_close(pooled[item], expected, **TOLERANCE)


def test_a_learned_temperature_starts_without_effect_and_gets_a_gradient() -> None:
    torch.manual_seed(1)
    pooling = GlobalGuidedPooling(16, heads=4, width="split", learn_temperature=True)
    cells, global_features, mask = torch.randn(2, 5, 16), torch.randn(2, 16), torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(
        pooling(cells, mask, global_features)[0], slow_pooling(pooling, cells[0], global_features[0]), **TOLERANCE
    )
    pooling(cells, mask, global_features).square().sum().backward()
    assert pooling.log_scale is not None
    assert pooling.log_scale.grad is not None
    assert pooling.log_scale.grad.abs() > 0
