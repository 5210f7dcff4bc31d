"""Sinkhorn assignments and swapped prediction."""

import pytest
import torch
import torch.nn.functional as F

from tests.golden import TOLERANCE, load_golden
from training.prototypes import Prototypes, sinkhorn, swapped_prediction


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
