"""What a checkpoint holds of a network: its parameters in fp16, where fp16 can hold them."""

import pytest
import torch

from model.errors import TrainingError
from model.nn.aahr import AAHR
from tests.toy import DIMENSIONS, toy_config
from training.checkpoint import rounded_as_written


@pytest.fixture
def network() -> AAHR:
    torch.manual_seed(0)
    return AAHR(toy_config().model, DIMENSIONS, DIMENSIONS)


def test_the_parameters_are_rounded_in_the_block_and_exact_behind_it(network: AAHR) -> None:
    exact = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    with rounded_as_written(network):
        for name, parameter in network.named_parameters():
            assert torch.equal(parameter, exact[name].half().float()), name
    assert any(not torch.equal(value, value.half().float()) for value in exact.values())
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, exact[name]), name


def test_an_error_in_the_block_leaves_the_exact_parameters(network: AAHR) -> None:
    parameter = next(network.parameters())
    exact = parameter.detach().clone()
    with pytest.raises(ValueError, match="stop"), rounded_as_written(network):
        raise ValueError("stop")
    assert torch.equal(parameter, exact)


@pytest.mark.parametrize("value", [70_000.0, float("nan"), float("inf")])
def test_a_parameter_that_fp16_cannot_hold_is_refused(network: AAHR, value: float) -> None:
    name, parameter = next(iter(network.named_parameters()))
    with torch.no_grad():
        parameter.view(-1)[0] = value
    message = rf"{name} has a value of .*fp16 cannot hold.*nothing was written"
    with pytest.raises(TrainingError, match=message), rounded_as_written(network):
        pytest.fail("it is not evaluated")
