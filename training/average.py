"""`aahr average`: the mean of two runs' parameters, in the share that is best on val."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from torch import Tensor

from model.errors import ConfigError
from model.nn.aahr import AAHR
from training.checkpoint import (
    Checkpoint,
    Parent,
    Progress,
    load_network,
    open_checkpoint,
    rounded_as_written,
    save_checkpoint,
)
from training.data.sources import SplitFeatures, load_splits
from training.device import default_device
from training.network import load_backbones
from training.train import evaluate_splits


def average(first: Path, second: Path, out: Path, *, shares: Sequence[float], cache: Path) -> float:
    """Write (1 - share) first + share second for the share of `shares` with the highest rSum on val; returns the share.

    Two runs that start from the same pretrained weights lie in one valley, and what each of them learnt adds up between
    them (model soups, Wortsman et al., ICML 2022). Val is that of the first recipe's `select_on`. The manifest names
    both parents by the hash of their parameters. Raises ConfigError for checkpoints of different networks, a share
    outside 0 to 1 and an `out` that holds something; ArtifactMissing and ArtifactCorrupt as `open_checkpoint` does.
    """
    _check(shares, out)
    parents = open_checkpoint(first), open_checkpoint(second)
    _refuse_different(*parents)
    config = parents[0].config
    backbones = load_backbones(config, default_device())
    network = load_network(parents[0], backbones)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    other = load_network(parents[1], load_backbones(config, default_device())).state_dict()
    splits = load_splits(config, "val", backbones, cache)
    found: dict[float, dict[str, float]] = {}
    for share in shares:
        network.load_state_dict(_mixed(state, other, share))
        found[share] = _evaluate(network, splits)
        Console(markup=False).print(
            f"share {share:g}: val {config.select_on} rSum {found[share][f'{config.select_on}/rsum']:.1f}"
        )
    best = max(shares, key=lambda share: found[share][f"{config.select_on}/rsum"])
    network.load_state_dict(_mixed(state, other, best))
    save_checkpoint(
        out,
        config=config,
        backbones=backbones,
        network=network,
        progress=Progress(parents[0].manifest.epoch, parents[0].manifest.step, found[best]),
        parents=(_described(parents[0], 1 - best), _described(parents[1], best)),
        described_by=parents[0].manifest.described_by,
    )
    return best


def _evaluate(network: AAHR, splits: Mapping[str, SplitFeatures]) -> dict[str, float]:
    """Of what a checkpoint of the network holds; its own reduction lies between those of the parents, too."""
    with rounded_as_written(network):
        return evaluate_splits(network, {name: split.placed(network) for name, split in splits.items()})


def _check(shares: Sequence[float], out: Path) -> None:
    if outside := [share for share in shares if not 0 <= share <= 1]:
        raise ConfigError(f"share {outside[0]:g} is not between 0 (the first checkpoint) and 1 (the second)")
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} holds something already: give another --out")


def _refuse_different(first: Checkpoint, second: Checkpoint) -> None:
    if first.config.model != second.config.model:
        fields = type(first.config.model).model_fields
        differ = [name for name in fields if getattr(first.config.model, name) != getattr(second.config.model, name)]
        raise ConfigError(
            f"{first.directory} and {second.directory} are different networks (model.{differ[0]} differs): "
            "average runs that have all of [model] in common"
        )


def _mixed(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Parameters and statistics between both; counters, which cannot be averaged, of the first."""
    return {
        name: tensor.lerp(second[name], share) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }


def _described(parent: Checkpoint, share: float) -> Parent:
    return Parent(name=parent.manifest.name, sha256=parent.sha256, config_sha256=parent.config_sha256, share=share)
