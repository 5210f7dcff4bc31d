"""What is fitted on training descriptions (missing one, projection, centroids), and the parts that use it."""

import copy
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.config import SemanticsConfig
from model.errors import ConfigError
from model.nn.aahr import AAHR
from tests.toy import DIMENSIONS, semantic_config, toy_batches, toy_dataset, toy_semantics, toy_trainer
from tests.unit.training.test_loop import assert_equal_state
from training.config import TrainingConfig
from training.data.semantics import SemanticTable
from training.loop import Trainer
from training.objective import contrasted
from training.objective_config import ObjectiveConfig
from training.prototypes import SemanticPrototypes, sinkhorn
from training.semantics import centroids, fit_semantic_prototypes, fit_semantics

D = 16  # of the toy config


def described(width: int, images: int = 40) -> SemanticTable:
    dataset, _ = toy_dataset(images)
    return toy_semantics(dataset, width, np.random.default_rng(4))


def network(width: int) -> AAHR:
    return AAHR(semantic_config(SemanticsConfig()).model, DIMENSIONS, DIMENSIONS, sentence_dimension=width)


def test_the_missing_description_is_the_mean_of_those_of_training_images() -> None:
    table, fitted = described(D), network(D)
    fit_semantics(fitted, table)
    assert fitted.semantics is not None
    expected = table.descriptions[table.of_image[1:]].mean(axis=0)
    np.testing.assert_allclose(fitted.semantics.missing.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert np.linalg.norm(expected) < 0.9


@pytest.mark.parametrize("width", [24, 10])
def test_one_projection_serves_both_sides_where_the_widths_differ(width: int) -> None:
    table, fitted = described(width), network(width)
    fit_semantics(fitted, table)
    assert fitted.semantics is not None
    placed = table.placed(fitted.semantics)
    assert placed.descriptions.shape == (len(table.descriptions) + 1, D)
    np.testing.assert_allclose(np.linalg.norm(placed.captions, axis=1), 1, rtol=1e-5)
    vectors = np.concatenate([table.descriptions, table.captions])
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    kept = min(width, D)
    expected = centred @ directions[:kept].T
    found = placed.descriptions[:-1] @ placed.captions.T
    lengths = np.linalg.norm(expected, axis=1)
    described_rows = len(table.descriptions)
    cosines = (expected[:described_rows] @ expected[described_rows:].T) / np.outer(
        lengths[:described_rows], lengths[described_rows:]
    )
    np.testing.assert_allclose(found, cosines, atol=1e-4)


def test_centroids_are_those_of_the_clusters_and_equal_for_equal_seeds() -> None:
    generator = np.random.default_rng(0)
    true = F.normalize(torch.from_numpy(generator.normal(size=(4, D))), dim=-1).numpy()
    vectors = np.repeat(true, 30, axis=0) + 0.01 * generator.normal(size=(120, D))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = centroids(vectors, 4, seed=1)
    assert (np.sort((found @ true.T).max(axis=0)) > 0.999).all()
    np.testing.assert_array_equal(found, centroids(vectors, 4, seed=1))


def test_more_centroids_than_descriptions_are_refused() -> None:
    prototypes = SemanticPrototypes(64, D, epsilon=0.05, iterations=3, temperature=0.1)
    with pytest.raises(ConfigError, match="64 are more centroids than the 39 training descriptions"):
        fit_semantic_prototypes(prototypes, described(D), seed=0)


def test_semantic_prototypes_are_frozen_and_their_loss_is_that_of_the_equation() -> None:
    torch.manual_seed(0)
    prototypes = SemanticPrototypes(6, D, epsilon=0.05, iterations=3, temperature=0.1)
    prototypes.set(torch.randn(6, D))
    assert not list(prototypes.parameters())
    assert set(prototypes.state_dict()) == {"directions"}
    images, texts = (F.normalize(torch.randn(5, D), dim=-1).requires_grad_() for _ in range(2))
    loss = prototypes(images, texts)
    expected = torch.zeros(())
    for own, other in ((images, texts), (texts, images)):
        targets = sinkhorn(other.detach() @ prototypes.directions.T, 0.05, 3)
        for item, target in zip(own, targets, strict=True):
            scores = torch.stack([item @ direction / 0.1 for direction in prototypes.directions])
            expected = expected - (target * (scores - scores.exp().sum().log())).sum() / len(own)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def prepared(config: TrainingConfig, steps: int) -> Trainer:
    trainer = toy_trainer(config, steps)
    if trainer.objective.semantic_prototypes is not None:
        fit_semantic_prototypes(trainer.objective.semantic_prototypes, described(D), seed=0)
    return trainer


ALL = ObjectiveConfig.model_validate(
    {
        "prototypes": {"start": 0.1, "count": 8},
        "semantic_prototypes": {"enabled": True, "count": 6},
        "relation": {"start": 0.2},
        "momentum": {"queue": 24, "momentum": 0.9, "query": "fused"},
    }
)


def test_the_prototypes_of_descriptions_count_from_the_first_step_and_a_run_resumes_to_the_bit() -> None:
    dataset, collate = toy_dataset(semantics=D)
    whole = prepared(semantic_config(SemanticsConfig(), objective=ALL), steps=15)
    batches = toy_batches(dataset, collate, epochs=3)
    assert all(batch.semantics is not None for batch in batches)
    torch.manual_seed(5)
    history = [whole.train_step(batch) for batch in batches[:7]]
    assert set(history[0]) == {"matching", "semantic_prototypes"}
    assert {"relation", "momentum", "prototypes"} < set(history[-1])
    state = copy.deepcopy(whole.state_dict())
    expected = [whole.train_step(batch) for batch in batches[7:12]]

    resumed = toy_trainer(semantic_config(SemanticsConfig(), objective=ALL), steps=15)
    resumed.load_state_dict(state)
    assert [resumed.train_step(batch) for batch in batches[7:12]] == expected
    assert_equal_state(resumed.state_dict(), whole.state_dict())


@pytest.mark.parametrize("momentum", ["plain", "fused"])
def test_what_the_momentum_part_contrasts_is_a_switch(momentum: Literal["plain", "fused"]) -> None:
    dataset, collate = toy_dataset(semantics=D)
    config = semantic_config(SemanticsConfig(momentum=momentum), objective=ALL)
    trainer = prepared(config, steps=15)
    batch = toy_batches(dataset, collate, epochs=1)[0]
    assert batch.semantics is not None
    encoding = trainer.network.encode_images(batch.images, batch.semantics.images)
    assert encoding.plain is not None
    expected = encoding.plain if momentum == "plain" else encoding.embedding
    assert torch.equal(contrasted(encoding, config.model), expected)
    trainer.train_step(batch)
    assert trainer.objective.momentum is not None
    keys = trainer.objective.momentum.image_queue.keys[: len(batch.images.features)]
    slow = trainer.objective.momentum.copy.encoder
    trained = copy.deepcopy(slow)
    assert isinstance(trained, AAHR)
    # The copy was updated after the keys were made, so that they are near, and those of the other kind far.
    with torch.no_grad():
        after = trained.encode_images(batch.images, batch.semantics.images)
    assert after.plain is not None
    near, far = (after.plain, after.embedding) if momentum == "plain" else (after.embedding, after.plain)
    assert (keys * near).sum(dim=1).min() > (keys * far).sum(dim=1).max()
