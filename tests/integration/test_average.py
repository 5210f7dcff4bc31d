"""The average of two runs: between their parameters, chosen on val, and honest about its parents."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.errors import ConfigError
from model.nn.aahr import AAHR
from tests.recipes import scenes_recipe
from training import average as average_module
from training.average import average
from training.checkpoint import load_network, open_checkpoint
from training.config import TrainingConfig
from training.data.sources import SplitFeatures, load_splits
from training.network import load_backbones
from training.train import BEST, train

NAMES = ("plain", "soft")


def small_recipe(name: str, *settings: str) -> TrainingConfig:
    """Some steps on a few scenes, with soft positives or without."""
    soft = f"objective.soft_positives.enabled={str(name == 'soft').lower()}"
    return scenes_recipe("mini-frozen", 48, "epochs=2", f"name={name}", soft, *settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("average")
    for name in NAMES:
        train(small_recipe(name), directory / name, directory / "cache")
    return directory


def averaged(runs: Path, out: Path, *shares: float) -> float:
    return average(*(runs / name / BEST for name in NAMES), out, shares=shares, cache=runs / "cache")


def test_the_average_lies_between_its_parents(runs: Path, tmp_path: Path) -> None:
    assert averaged(runs, tmp_path / "out", 0.25) == 0.25
    first, second = (load_file(runs / name / BEST / "model.safetensors") for name in NAMES)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert set(found) == set(first)
    assert any(not torch.equal(first[name], second[name]) for name in found)
    for name, tensor in found.items():
        expected = 0.75 * first[name].float() + 0.25 * second[name].float()
        torch.testing.assert_close(tensor.float(), expected, atol=1e-5, rtol=2e-3, msg=name)


def test_the_manifest_names_the_parents_and_their_shares(runs: Path, tmp_path: Path) -> None:
    averaged(runs, tmp_path / "out", 0.25)
    first, second = (open_checkpoint(runs / name / BEST) for name in NAMES)
    found = open_checkpoint(tmp_path / "out")
    assert [(parent.name, parent.sha256, parent.share) for parent in found.manifest.parents] == [
        ("plain", first.sha256, 0.75),
        ("soft", second.sha256, 0.25),
    ]
    assert found.config == first.config
    assert not first.manifest.parents


def test_the_best_share_on_val_is_taken(runs: Path, tmp_path: Path) -> None:
    """Each end has its parent's figures, and none of the shares is better than the one that was taken."""
    each = {}
    for share in (0.0, 0.5, 1.0):
        averaged(runs, tmp_path / str(share), share)
        each[share] = open_checkpoint(tmp_path / str(share)).manifest.evaluation["scenes/rsum"]
    for name, share in zip(NAMES, (0.0, 1.0), strict=True):
        assert each[share] == pytest.approx(open_checkpoint(runs / name / BEST).manifest.evaluation["scenes/rsum"])
    best = averaged(runs, tmp_path / "best", 0.0, 0.5, 1.0)
    assert each[best] == max(each.values())
    assert open_checkpoint(tmp_path / "best").manifest.evaluation["scenes/rsum"] == each[best]


def test_the_evaluation_is_of_the_parameters_that_are_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reduction of its own for each parent."""
    evaluated: dict[str, Tensor] = {}
    cells: list[Tensor] = []

    def record(network: AAHR, splits: Mapping[str, SplitFeatures]) -> dict[str, float]:
        evaluated.update({name: tensor.clone() for name, tensor in network.state_dict().items()})
        cells.append(splits["scenes"].views[0].batch(np.arange(2)).features)
        return {"scenes/rsum": 1.0}

    config = small_recipe("other", "seed=7")
    train(config, tmp_path / "other", runs / "cache")
    monkeypatch.setattr(average_module, "evaluate_splits", record)
    average(runs / "plain" / BEST, tmp_path / "other" / BEST, tmp_path / "out", shares=[0.5], cache=runs / "cache")
    written = load_file(tmp_path / "out" / "model.safetensors")
    for name, tensor in written.items():
        assert torch.equal(evaluated[name], tensor.to(evaluated[name].dtype)), name
    backbones = load_backbones(config)
    network = load_network(open_checkpoint(tmp_path / "out"), backbones)
    val = load_splits(config, "val", backbones, runs / "cache")["scenes"].reduced(network.cached_reduction)
    assert torch.equal(cells[0], val.views[0].batch(np.arange(2)).features)


def test_what_cannot_be_averaged_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"share 1\.5 is not between 0 .* and 1"):
        averaged(runs, tmp_path / "out", 0.5, 1.5)
    with pytest.raises(ConfigError, match="plain holds something already: give another --out"):
        averaged(runs, runs / "plain", 0.5)
    train(small_recipe("other", "model.k_max=3"), tmp_path / "other", runs / "cache")
    with pytest.raises(ConfigError, match=r"different networks \(model\.k_max differs\)"):
        average(runs / "plain" / BEST, tmp_path / "other" / BEST, tmp_path / "out", shares=[0.5], cache=runs / "cache")
    assert not (tmp_path / "out").exists()
