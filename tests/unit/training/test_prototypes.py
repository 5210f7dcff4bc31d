"""Sinkhorn assignments and swapped prediction."""

import pytest
import torch
import torch.nn.functional as F

from tests.golden import TOLERANCE, load_golden
from training.prototypes import Keys, Prototypes, sinkhorn, swapped_prediction


@pytest.mark.parametrize("name", ["prototypes_aahr", "prototypes_vsd"])
def test_assignments_and_loss_are_golden(name: str) -> None:
    arrays = load_golden(name)
    images, texts, prototypes = arrays["image_embedding"], arrays["text_embedding"], arrays["prototypes"]
    epsilon, iterations = float(arrays["epsilon"]), int(arrays["iterations"])
    for side, embedding in (("image", images), ("text", texts)):
        found = sinkhorn(embedding @ prototypes.T, epsilon, iterations)
        torch.testing.assert_close(found, arrays[f"assignment_{side}"], **TOLERANCE)
    loss = swapped_prediction(
        images, texts, prototypes, epsilon=epsilon, iterations=iterations, temperature=float(arrays["temperature"])
    )
    torch.testing.assert_close(loss, arrays["loss"], **TOLERANCE)


def test_sinkhorn_has_the_marginals_of_equal_use() -> None:
    torch.manual_seed(0)
    plan = sinkhorn(F.normalize(torch.randn(32, 16), dim=-1) @ torch.eye(16), iterations=50)
    torch.testing.assert_close(plan.sum(dim=1), torch.ones(32))
    torch.testing.assert_close(plan.sum(dim=0), torch.full((16,), 2.0), atol=1e-3, rtol=1e-3)


def test_sinkhorn_survives_scores_that_would_overflow() -> None:
    assert sinkhorn(torch.tensor([[12.0, 11.0], [11.5, 12.0]]), epsilon=0.1).isfinite().all()


def test_the_gradient_reaches_embeddings_and_prototypes_and_not_the_assignment() -> None:
    torch.manual_seed(1)
    prototypes = Prototypes(5, 8, epsilon=0.1, iterations=3, temperature=0.1)
    images = F.normalize(torch.randn(6, 8), dim=-1).requires_grad_()
    texts = F.normalize(torch.randn(6, 8), dim=-1).requires_grad_()
    prototypes(images, texts).backward()
    for tensor in (images, texts, prototypes.directions):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
    assert not sinkhorn(images @ prototypes.directions.T).requires_grad


def test_a_batch_is_assigned_together_with_the_keys() -> None:
    torch.manual_seed(2)
    images, texts, prototypes = (F.normalize(torch.randn(count, 8), dim=-1) for count in (6, 6, 5))
    keys: Keys = F.normalize(torch.randn(20, 8), dim=-1), F.normalize(torch.randn(30, 8), dim=-1)
    found = swapped_prediction(images, texts, prototypes, keys=keys)
    expected = torch.zeros(())
    for own, others, both in (
        (images, texts, torch.cat([texts, keys[1]])),
        (texts, images, torch.cat([images, keys[0]])),
    ):
        target = sinkhorn(both @ prototypes.T)[: len(others)]
        expected = expected - (target * (own @ prototypes.T / 0.1).log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(found, expected)
    assert not torch.isclose(found, swapped_prediction(images, texts, prototypes))


def learn(prototypes: Prototypes, images: torch.Tensor, texts: torch.Tensor) -> dict[str, float]:
    optimiser = torch.optim.AdamW(prototypes.parameters(), lr=0.02, weight_decay=0)
    for _ in range(150):
        optimiser.zero_grad()
        prototypes(images, texts).backward()
        optimiser.step()
    return prototypes.measure(images, texts, torch.arange(len(texts)))


def test_assignments_leave_even_ones_only_below_the_temperature() -> None:
    torch.manual_seed(3)
    centres = F.normalize(torch.randn(4, 8), dim=-1).repeat(16, 1)
    images, texts = (F.normalize(centres + 0.15 * torch.randn(64, 8), dim=-1) for _ in range(2))
    even, sharp = (
        learn(Prototypes(4, 8, epsilon=epsilon, iterations=3, temperature=0.1), images, texts)
        for epsilon in (0.1, 0.05)
    )
    assert even["prototype_entropy"] > 0.95
    assert sharp["prototype_entropy"] < 0.3
    assert sharp["prototype_agreement"] > 90


def test_even_assignments_have_entropy_one_and_agree_by_chance() -> None:
    torch.manual_seed(4)
    prototypes = Prototypes(8, 16, epsilon=0.05, iterations=3, temperature=0.1)
    prototypes.directions.data[:] = torch.eye(8, 16)
    image = F.normalize(torch.ones(1, 16), dim=-1).repeat(6, 1)
    assert prototypes.measure(image, image, torch.arange(6))["prototype_entropy"] == pytest.approx(1.0)
    own = torch.eye(8, 16)
    found = prototypes.measure(own, own[torch.tensor([0, 1, 2, 3, 5, 6])], torch.tensor([0, 1, 2, 3, 4, 5]))
    assert found["prototype_agreement"] == pytest.approx(100 * 4 / 6)
    assert found["prototype_entropy"] < 0.2
