"""The training step: it learns, starts its parts in time, fails loudly, and resumes to the bit."""

import copy

import numpy as np
import pytest
import torch

from model.errors import TrainingError
from model.nn.aahr import AAHR
from tests.toy import toy_batches, toy_config, toy_dataset, toy_trainer
from training.config import OptimiserConfig, TrainingConfig
from training.data.batches import Batch
from training.loop import Trainer, learning_rate_factor
from training.losses import Pairs
from training.objective_config import ObjectiveConfig


def test_every_part_starts_in_time_and_the_loss_falls() -> None:
    dataset, collate = toy_dataset()
    batches = toy_batches(dataset, collate, epochs=6)
    trainer = toy_trainer(toy_config(), steps=len(batches))
    history = [trainer.train_step(batch) for batch in batches]
    assert set(history[0]) == {"matching", "local_matching", "soft_positives"}
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
    assert_equal_state(resumed.state_dict(), whole.state_dict())


def test_the_state_holds_all_that_the_next_step_depends_on() -> None:
    dataset, collate = toy_dataset()
    trainer = toy_trainer(toy_config(), steps=15)
    for batch in toy_batches(dataset, collate, epochs=1):
        trainer.train_step(batch)
    state = trainer.state_dict()
    assert set(state) == {"network", "objective", "average", "optimiser", "step", "random", "random_cuda"}
    assert state["step"] == 5
    held = {name.split(".")[0] for name in state["objective"]}
    assert held == {"prototypes", "relation", "momentum"}
    queue = {"keys", "ids", "pointer", "written"}
    assert {f"momentum.{side}_queue.{part}" for side in ("image", "text") for part in queue} <= set(state["objective"])
    assert "momentum.copy.encoder.image_encoder.projection.norm.running_mean" in state["objective"]
    assert {f"encoder.{name}" for name in state["network"]} == set(state["average"])


def assert_equal_state(found: object, expected: object, place: str = "state") -> None:
    """Every tensor to the bit, every number exactly, in nested dictionaries and lists."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor)
        assert torch.equal(found, expected), place
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys(), place
        for key, value in expected.items():
            assert_equal_state(found[key], value, f"{place}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list)
        for row, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_equal_state(one, other, f"{place}[{row}]")
    else:
        assert found == expected, place


def all_parts_at_once() -> TrainingConfig:
    """Every part from the first batch on, the momentum part from the second; gradients are not clipped."""
    parts = {"prototypes": {"start": 0, "count": 8}, "relation": {"start": 0}, "momentum": {"queue": 8}}
    return toy_config(
        objective=ObjectiveConfig.model_validate(parts), optimiser=OptimiserConfig(gradient_clip=1e9, average=0.9)
    )


def gradients_by_hand(trainer: Trainer, batches: list[Batch]) -> dict[str, torch.Tensor]:
    """The mean over the batches of the gradients of each, one after the other."""
    network, objective = trainer.network.train(), trainer.objective.train()
    assert objective.momentum is not None
    named = {name: value for module in (network, objective) for name, value in module.named_parameters()}
    learned = {name: value for name, value in named.items() if value.requires_grad}
    total = {name: torch.zeros_like(value) for name, value in learned.items()}
    for batch in batches:
        image, text = network.encode_images(batch.images), network.encode_texts(batch.texts)
        slow = objective.momentum.copy.encoder
        assert isinstance(slow, AAHR)
        with torch.no_grad():
            keys = slow.encode_images(batch.images).embedding, slow.encode_texts(batch.texts).embedding
        pairs = Pairs(image.embedding, text.embedding, batch.image_of_caption, batch.image_ids)
        loss = torch.stack(list(objective(0, image, text, pairs, keys).values())).sum()
        for name, gradient in zip(learned, torch.autograd.grad(loss, list(learned.values())), strict=True):
            total[name] += gradient / len(batches)
    return total


def test_accumulated_gradients_are_the_mean_over_the_batches() -> None:
    dataset, collate = toy_dataset()
    batches = toy_batches(dataset, collate, epochs=1)[:3]
    config = all_parts_at_once()
    together, by_hand = toy_trainer(config, steps=4), toy_trainer(config, steps=4)
    torch.manual_seed(7)
    parts = together.train_step(*batches)
    torch.manual_seed(7)
    expected = gradients_by_hand(by_hand, batches)
    assert set(parts) == {"matching", "prototypes", "relation", "momentum"}
    assert together.step == 1
    momentum = together.objective.momentum
    assert momentum is not None
    assert momentum.image_queue.ids.tolist() == batches[-1].image_ids.tolist()  # the queue took every batch
    for module in (together.network, together.objective):
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None
                torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-4, msg=name)


def test_a_loss_that_is_not_finite_names_part_and_step() -> None:
    dataset, collate = toy_dataset()
    trainer = toy_trainer(toy_config(), steps=100)
    batch = toy_batches(dataset, collate, epochs=1)[0]
    trainer.train_step(batch)
    broken = batch._replace(images=batch.images._replace(global_features=batch.images.global_features * float("nan")))
    with pytest.raises(TrainingError, match=r"'matching' is nan at step 1"):
        trainer.train_step(broken)


@pytest.mark.parametrize("part", ["local_matching", "prototypes", "relation", "momentum", "soft_positives"])
def test_every_part_is_a_switch(part: str) -> None:
    dataset, collate = toy_dataset()
    objective = toy_config().objective.model_dump()
    objective[part]["enabled"] = False
    objective["prototypes"]["over_keys"] = part != "momentum"
    batches = toy_batches(dataset, collate, epochs=3)
    trainer = toy_trainer(toy_config(objective=ObjectiveConfig.model_validate(objective)), steps=len(batches))
    history = [trainer.train_step(batch) for batch in batches]
    parts = {"matching", "local_matching", "soft_positives", "prototypes", "relation", "momentum"}
    assert set(history[-1]) == parts - {part}


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
