"""Checkpoints: for evaluation and export (`best`) and for resuming (`last`)."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import AwareDatetime
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.artifact import IMAGE_GRAPH
from model.config import FeatureDimensions, Settings
from model.descriptions import Source
from model.errors import ArtifactCorrupt, ArtifactMissing, TrainingError
from model.manifest import (
    MANIFEST,
    FileEntry,
    describe_files,
    parse_json_file,
    published_directory,
    read_manifest,
    verify_files,
)
from model.nn.aahr import AAHR
from model.replacement import recover_directory
from training.config import TrainingConfig
from training.network import Backbones, build_network

CHECKPOINT_FORMAT = "aahr-checkpoint/1"
PARAMETERS, CONFIG, STATE = "model.safetensors", "config.json", "state.pt"
EXPECTED = "a checkpoint directory, as `aahr train` writes it"


class Parent(Settings):
    """A checkpoint that went into an average, with the hashes of its parameters and its recipe."""

    name: str
    sha256: str
    config_sha256: str
    share: float


class CheckpointManifest(Settings):
    """What a checkpoint is and what it was made from. `evaluation` holds val metrics as `<data set>/<metric>`.

    `described_by` is who wrote the descriptions that a network with semantics was trained on.

    Of an average, `parents` are the checkpoints between which it lies; seed, epoch and step are those of the first.
    """

    format: Literal["aahr-checkpoint/1"]
    name: str
    created_at: AwareDatetime
    seed: int
    epoch: int
    step: int
    image: FeatureDimensions
    text: FeatureDimensions
    fingerprints: dict[str, str]
    evaluation: dict[str, float]
    versions: dict[str, str]
    git_commit: str | None
    parents: tuple[Parent, ...] = ()
    described_by: Source | None = None
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint directory that was checked against its manifest."""

    directory: Path
    manifest: CheckpointManifest
    config: TrainingConfig

    @property
    def sha256(self) -> str:
        """Hash of the parameters."""
        return self.manifest.files[PARAMETERS].sha256

    @property
    def config_sha256(self) -> str:
        """Hash of the recipe."""
        return self.manifest.files[CONFIG].sha256


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    epoch: int
    step: int
    evaluation: dict[str, float]


def save_checkpoint(
    directory: Path,
    *,
    config: TrainingConfig,
    backbones: Backbones,
    network: AAHR,
    progress: Progress,
    state: dict[str, Any] | None = None,
    parents: tuple[Parent, ...] = (),
    described_by: Source | None = None,
) -> None:
    """Write a checkpoint in one rename: what was trained, parameters in fp16 and buffers in fp32.

    With `state` (everything a run needs to continue, in full precision) it can be resumed. Raises TrainingError for a
    parameter that fp16 cannot hold.
    """
    with published_directory(directory) as staging:
        save_file(_halved(network), staging / PARAMETERS)
        (staging / CONFIG).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if state is not None:
            torch.save(state, staging / STATE)
        image, text = backbones.dimensions
        manifest = CheckpointManifest(
            format=CHECKPOINT_FORMAT,
            name=config.name,
            created_at=datetime.now(UTC),
            seed=config.seed,
            epoch=progress.epoch,
            step=progress.step,
            image=image,
            text=text,
            fingerprints=backbones.fingerprints,
            evaluation=progress.evaluation,
            versions=library_versions(),
            git_commit=git_commit(),
            parents=parents,
            described_by=described_by,
            files=describe_files(staging, [path.name for path in staging.iterdir()]),
        )
        (staging / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def is_exported(directory: Path) -> bool:
    """Whether a directory is a model of `aahr export`, not a checkpoint; raises ArtifactMissing where it is neither."""
    recover_directory(directory)
    if (directory / IMAGE_GRAPH).exists():
        return True
    if not (directory / MANIFEST).exists():
        raise ArtifactMissing(
            f"{directory} is neither a checkpoint of `aahr train` nor a model of `aahr export`: it has no {MANIFEST}"
        )
    return False


def open_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint strictly. Raises ArtifactMissing and ArtifactCorrupt; see `read_manifest`."""
    manifest = read_manifest(directory, CheckpointManifest, expected=EXPECTED)
    verify_files(directory, manifest.files)
    config = parse_json_file(directory / CONFIG, TrainingConfig, expected=EXPECTED)
    return Checkpoint(directory, manifest, config)


def load_network(checkpoint: Checkpoint, backbones: Backbones) -> AAHR:
    """The trained network in evaluation mode, on the device of its backbones.

    Raises ArtifactCorrupt where the backbones at hand are not those it was trained on, or a parameter is missing.
    """
    for side, fingerprint in backbones.fingerprints.items():
        if fingerprint != (expected := checkpoint.manifest.fingerprints[side]):
            raise ArtifactCorrupt(
                f"{checkpoint.directory} was trained on a {side} backbone with fingerprint {expected[:16]}, the one at "
                f"hand has {fingerprint[:16]}: install the packages of that version, or train again"
            )
    network = build_network(checkpoint.config, backbones)
    tensors = {name: tensor.float() for name, tensor in load_file(checkpoint.directory / PARAMETERS).items()}
    trained = _trained(network)
    if difference := set(trained) ^ set(tensors):
        raise ArtifactCorrupt(
            f"{checkpoint.directory / PARAMETERS} does not fit its config: {sorted(difference)[:3]} differ"
        )
    trained_tensors = {name: tensors[name].to(value.dtype) for name, value in trained.items()}
    network.load_state_dict({**network.state_dict(), **trained_tensors})
    return network.eval()


def load_state(directory: Path) -> dict[str, Any]:
    """What a run needs to continue. Raises ArtifactMissing where the directory is a checkpoint without it."""
    checkpoint = open_checkpoint(directory)
    if STATE not in checkpoint.manifest.files:
        raise ArtifactMissing(f"{directory} has no {STATE}: it can be evaluated and exported, but not resumed")
    state: dict[str, Any] = torch.load(directory / STATE, map_location="cpu", weights_only=True)
    return state


@contextmanager
def rounded_as_written(network: AAHR) -> Iterator[None]:
    """Give a network, for the time of the block, the parameters that a checkpoint of it holds: those in fp16.

    What is evaluated in the block is what is written. Raises TrainingError for a parameter that fp16 cannot hold.
    """
    exact = {name: tensor.clone() for name, tensor in _trained(network).items()}
    network.load_state_dict({**network.state_dict(), **_halved(network)})
    try:
        yield
    finally:
        network.load_state_dict({**network.state_dict(), **exact})


def library_versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    packages = ("torch", "transformers", "numpy", "aahr")
    return {"python": sys.version.split()[0], **{name: version(name) for name in packages}}


def git_commit() -> str | None:
    """The commit of the working tree, None outside one."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return result.stdout.strip() or None


def _halved(network: AAHR) -> dict[str, Tensor]:
    parameters = dict(network.named_parameters())
    return {
        name: (_to_fp16(name, tensor) if name in parameters else tensor).contiguous().clone()
        for name, tensor in _trained(network).items()
    }


def _to_fp16(name: str, tensor: Tensor) -> Tensor:
    halved = tensor.half()
    if not halved.isfinite().all():
        raise TrainingError(
            f"{name} has a value of {tensor.abs().max():g}, which fp16 cannot hold, so that the checkpoint would be "
            "worthless: nothing was written; lower optimiser.learning_rate"
        )
    return halved


def _trained(network: AAHR) -> dict[str, Tensor]:
    """All of the network except the frozen parameters of a pretrained backbone."""
    return {name: tensor for name, tensor in network.state_dict().items() if name not in network.pretrained}
