"""The training step: it learns, starts its parts in time, fails loudly, and resumes to the bit."""

import copy

import numpy as np
import pytest
import torch

from model.errors import TrainingError
from tests.toy import toy_batches, toy_config, toy_dataset, toy_trainer
from training.config import ObjectiveConfig, OptimiserConfig
from training.loop import learning_rate_factor


def test_every_part_starts_in_time_and_the_loss_falls() -> None:
    dataset, collate = toy_dataset()
    batches = toy_batches(dataset, collate, epochs=6)
    trainer = toy_trainer(toy_config(), steps=len(batches))
    history = [trainer.train_step(batch) for batch in batches]
    assert set(history[0]) == {"matching"}
    first_step = {name: next(step for step, parts in enumerate(history) if name in parts) for name in history[-1]}
    assert first_step["matching"] == 0
    assert first_step["prototypes"] == int(np.ceil(0.1 * len(batches)))
    assert first_step["relation"] == int(np.ceil(0.2 * len(batches)))
    assert first_step["momentum"] == 3  # 24 places, 8 image keys a step
    matching = [parts["matching"] for parts in history]
    assert np.mean(matching[-5:]) < 0.7 * np.mean(matching[:5])


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit() -> None:
    dataset, collate = toy_dataset()
    whole = toy_trainer(toy_config(), steps=15)
    batches = toy_batches(dataset, collate, epochs=3)
    torch.manual_seed(5)
    for batch in batches[:7]:
        whole.train_step(batch)
    state = copy.deepcopy(whole.state_dict())
    expected = [whole.train_step(batch) for batch in batches[7:12]]

    resumed = toy_trainer(toy_config(seed=99), steps=15)
    resumed.load_state_dict(state)
    found = [resumed.train_step(batch) for batch in batches[7:12]]
    assert found == expected
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    for name, tensor in whole.objective.state_dict().items():
        assert torch.equal(tensor, resumed.objective.state_dict()[name]), name


def test_a_loss_that_is_not_finite_names_part_and_step() -> None:
    dataset, collate = toy_dataset()
    trainer = toy_trainer(toy_config(), steps=100)
    batch = toy_batches(dataset, collate, epochs=1)[0]
    trainer.train_step(batch)
    broken = batch._replace(images=batch.images._replace(global_features=batch.images.global_features * float("nan")))
    with pytest.raises(TrainingError, match=r"'matching' is nan at step 1"):
        trainer.train_step(broken)


@pytest.mark.parametrize("part", ["prototypes", "relation", "momentum"])
def test_every_part_is_a_switch(part: str) -> None:
    dataset, collate = toy_dataset()
    objective = toy_config().objective.model_dump()
    objective[part]["enabled"] = False
    batches = toy_batches(dataset, collate, epochs=3)
    trainer = toy_trainer(toy_config(objective=ObjectiveConfig.model_validate(objective)), steps=len(batches))
    history = [trainer.train_step(batch) for batch in batches]
    assert set(history[-1]) == {"matching", "prototypes", "relation", "momentum"} - {part}


def test_the_relation_and_momentum_parts_train_the_network_and_never_the_copy() -> None:
    dataset, collate = toy_dataset()
    batches = toy_batches(dataset, collate, epochs=2)
    trainer = toy_trainer(toy_config(), steps=4)
    for batch in batches[:4]:
        trainer.train_step(batch)
    without = [
        name
        for name, parameter in trainer.objective.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert without == []
    momentum = trainer.objective.momentum
    assert momentum is not None
    assert all(parameter.grad is None for parameter in momentum.parameters())


def test_what_is_evaluated_is_the_average_of_the_weights() -> None:
    dataset, collate = toy_dataset()
    trainer = toy_trainer(toy_config(), steps=10)
    before = copy.deepcopy(trainer.network.state_dict())
    trainer.train_step(toy_batches(dataset, collate, epochs=1)[0])
    name = "image_encoder.fusion.gate.weight"
    expected = 0.9 * before[name] + 0.1 * trainer.network.state_dict()[name]
    torch.testing.assert_close(trainer.evaluated.state_dict()[name], expected)
    plain = toy_trainer(toy_config(optimiser=OptimiserConfig()), steps=10)
    assert plain.evaluated is plain.network


def test_schedules() -> None:
    steps = OptimiserConfig(milestones=(0.5, 0.75), decay=0.1, warm_up=0.1)
    found = [learning_rate_factor(steps, step, 100) for step in (0, 9, 10, 49, 50, 75)]
    assert found == pytest.approx([0.1, 1.0, 1.0, 1.0, 0.1, 0.01])
    cosine = OptimiserConfig(schedule="cosine")
    assert learning_rate_factor(cosine, 50, 100) == pytest.approx(0.5)
    assert learning_rate_factor(cosine, 99, 100) < 0.001
