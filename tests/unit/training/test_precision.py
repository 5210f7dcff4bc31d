"""bf16 in the forward of the encoders, fp32 everywhere else."""

import numpy as np
import pytest
import torch

from model.errors import ConfigError
from tests.toy import toy_batches, toy_config, toy_dataset, toy_trainer
from training import precision
from training.loop import Trainer
from training.objective_config import MatchingConfig
from training.precision import refuse_unsupported


def trained(of: str) -> tuple[list[dict[str, float]], Trainer]:
    """A run in which nothing of the encoders is drawn: the precisions could not draw the same."""
    plain = toy_config()
    objective = plain.objective.model_copy(update={"matching": MatchingConfig(loss="infonce")})
    model = plain.model.model_copy(update={"dropout": 0.0})
    torch.manual_seed(3)
    dataset, collate = toy_dataset()
    batches = toy_batches(dataset, collate, epochs=6)
    trainer = toy_trainer(toy_config(precision=of, objective=objective, model=model), steps=len(batches))
    return [trainer.train_step(batch) for batch in batches], trainer


def test_bf16_learns_and_stays_near_fp32() -> None:
    (full, _), (half, trainer) = trained("fp32"), trained("bf16")
    assert half[0] != full[0]
    assert half[0]["matching"] == pytest.approx(full[0]["matching"], rel=0.01)
    for name in full[-1]:
        means = [np.mean([parts[name] for parts in history[-6:]]) for history in (full, half)]
        assert means[1] == pytest.approx(means[0], rel=0.05), name
    matching = [parts["matching"] for parts in half]
    assert np.mean(matching[-5:]) < 0.7 * np.mean(matching[:5])
    state = trainer.state_dict()
    tensors = [*state["network"].values(), *state["objective"].values()]
    tensors += [value for slot in state["optimiser"]["state"].values() for value in slot.values()]
    assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.float32}


def test_keys_and_embeddings_have_length_one_in_fp32() -> None:
    _, trainer = trained("bf16")
    momentum = trainer.objective.momentum
    assert momentum is not None
    torch.testing.assert_close(momentum.image_queue.keys.norm(dim=1), torch.ones(24), atol=1e-6, rtol=0)


def test_bf16_without_support_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_computes_bf16", lambda device: device.type != "cpu")
    refuse_unsupported("fp32", torch.device("cpu"))
    with pytest.raises(ConfigError, match="'bf16' is not supported by this cpu: set precision = 'fp32'"):
        refuse_unsupported("bf16", torch.device("cpu"))
