"""What a run refuses before anything is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from model.errors import ConfigError, TrainingError
from tests.toy import toy_config
from training import precision
from training import train as train_module
from training.distributed import Group
from training.train import LAST, train


class Trio(Group):
    """The first of three processes, as far as the checks at the start need it."""

    size = 3


@contextmanager
def three_processes() -> Iterator[tuple[Group, torch.device]]:
    yield Trio(), torch.device("cpu")


def test_a_batch_that_cannot_be_shared_evenly_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "process_group", three_processes)
    with pytest.raises(ConfigError, match=r"batch\.images = 8 .* evenly by 3: choose 6, or another --nproc-per-node"):
        train(toy_config(), tmp_path / "run", tmp_path / "cache")
    assert not (tmp_path / "run").exists()


def test_bf16_that_the_device_cannot_do_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_computes_bf16", lambda device: device.type != "cpu")
    with pytest.raises(ConfigError, match="precision = 'bf16' is not supported"):
        train(toy_config(precision="bf16"), tmp_path / "run", tmp_path / "cache")
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_killed_while_it_replaced_its_checkpoint_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two renames of a file system without an exchange: `last` is gone after the first."""

    def stop(*_: object) -> None:
        raise TrainingError("the run was found")

    monkeypatch.setattr(train_module, "_prepare", stop)
    aside = tmp_path / f".{LAST}.{'0' * 32}.aside"
    aside.mkdir()
    with pytest.raises(TrainingError, match="the run was found"):
        train(toy_config(), tmp_path, tmp_path / "cache", resume=True)
    assert (tmp_path / LAST).is_dir()
    assert not aside.exists()
