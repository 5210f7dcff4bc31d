"""The training recipe: TOML parsed into frozen settings, checked as a whole before anything is loaded."""

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from model.config import ModelConfig, Settings
from model.datasets.scan import REGIONS
from model.errors import ConfigError
from training.objective_config import ObjectiveConfig, refuse_idle_prototypes

_SHIPPED = Path(__file__).parent / "configs"


class OptimiserConfig(Settings):
    """AdamW and its schedule over the planned steps."""

    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_clip: float = Field(default=2.0, gt=0)
    backbone_factor: float = Field(default=0.1, ge=0, description="learning rate of a fine-tuned text backbone")
    tail_factor: float = Field(default=0.1, ge=0, description="learning rate of fine-tuned blocks of the image's")
    schedule: Literal["steps", "cosine"] = "steps"
    milestones: tuple[float, ...] = (0.375, 0.625)
    decay: float = Field(default=0.1, gt=0, le=1)
    warm_up: float = Field(default=0.0, ge=0, lt=1, description="fraction of the planned steps")
    average: float | None = Field(
        default=None, gt=0, lt=1, description="decay of an average of the weights, which is then what is evaluated"
    )


class BatchConfig(Settings):
    """What the losses see at once: N images, each with some of its captions, and the size augmentation.

    An epoch passes over all images, or over all captions: each image then comes as often as it has captions left.

    `images` counts those of all processes of a `torchrun` together. With `accumulate` = k an optimiser step takes the
    mean of the gradients of k such batches. That is not a batch of k x N images: the negatives, the assignments of the
    prototypes, the neighbours of the relation and the statistics of batch norm stay those of N images. Schedules,
    starts and momentum encoders count optimiser steps; the queues take the keys of every batch.
    """

    images: int = Field(default=128, ge=2)
    epoch_over: Literal["images", "captions"] = "images"
    accumulate: int = Field(default=1, ge=1, description="batches per optimiser step")
    captions_per_image: int = Field(default=1, ge=1)
    whole_families: bool = Field(
        default=False, description="images that differ in one thing, as those of a family of scenes, share a batch"
    )
    drop_cells: float = Field(default=0.2, ge=0, lt=1)
    change_words: float = Field(default=0.2, ge=0, lt=1)
    flips: bool = Field(default=False, description="also train on the mirrored images")
    crops: int = Field(default=0, ge=0, description="number of random crops of each image")
    drop_descriptions: float = Field(
        default=0.0, ge=0, lt=1, description="of how many images the description is taken for missing"
    )


class DataConfig(Settings):
    """One data set. `scenes` is drawn on demand; the others are read from `captions` and `images` or `directory`."""

    format: Literal["karpathy", "scan", "n24news", "rsitmd", "scenes"] = "karpathy"
    captions: Path | None = None
    images: Path | None = None
    directory: Path | None = None
    clip: Path | None = Field(
        default=None,
        description="directory of CLIP ViT-B/32, whose embeddings of `images` stand in for a missing {split}_clip.npy",
    )
    descriptions: Path | None = Field(
        default=None, description="file of `aahr describe` about the images, for a model with semantics"
    )
    training_descriptions: Path | None = Field(
        default=None, description="of the train split instead, such as those made with reference captions"
    )
    count: int = Field(default=2000, ge=1, description="of drawn scenes")
    seed: int = 0

    @model_validator(mode="after")
    def _paths_fit_format(self) -> Self:
        if self.format in ("karpathy", "rsitmd") and (self.captions is None or self.images is None):
            raise ValueError(
                f"a data set of format '{self.format}' needs `captions` (a JSON file) and `images` (a folder)"
            )
        if self.format == "n24news" and (self.directory is None or self.images is None):
            raise ValueError(
                "a data set of format 'n24news' needs `directory`, with nytimes_{train,dev}.json, and `images` (a "
                "folder)"
            )
        if self.format == "scan" and self.directory is None:
            raise ValueError("a data set of format 'scan' needs `directory`, with {split}_ims.npy and {split}_caps.txt")
        if self.clip is not None and (self.format != "scan" or self.images is None):
            raise ValueError("`clip` takes the raw images of a data set of format 'scan': set `images`, their folder")
        if self.training_descriptions is not None and self.descriptions is None:
            raise ValueError("`training_descriptions` are of the train split alone: give `descriptions`, of the others")
        return self

    @property
    def source(self) -> Path | None:
        """What the captions are read from: a file or a directory; None where they are drawn."""
        return self.captions if self.directory is None else self.directory

    @property
    def may_be_changed(self) -> bool:
        """Whether its captions stay true when an image is mirrored or cropped; those of scenes do not."""
        return self.format != "scenes"


class TrainingConfig(Settings):
    """A whole recipe. `select_on` names the data set whose val split chooses the best epoch."""

    name: str
    seed: int = 0
    epochs: int = Field(default=40, ge=1)
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="of the encoders' forward; losses, queues, parameters and optimiser stay fp32"
    )
    threads: int | None = Field(default=None, ge=1)
    select_on: str
    data: dict[str, DataConfig] = Field(min_length=1)
    model: ModelConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    batch: BatchConfig = BatchConfig()

    @model_validator(mode="after")
    def _parts_can_run(self) -> Self:
        if self.select_on not in self.data:
            raise ValueError(f"select_on = '{self.select_on}' is not one of the data sets: {', '.join(self.data)}")
        if self.model.image_backbone.trainable and self.batch.drop_cells:
            raise ValueError(
                f"batch.drop_cells = {self.batch.drop_cells} hides cells in front of the trained blocks, which need "
                "all of them: set it to 0"
            )
        for name, part in (("prototypes", self.objective.prototypes), ("relation", self.objective.relation)):
            if part.enabled and part.start > 0.9:
                raise ValueError(
                    f"objective.{name}.start = {part.start} leaves it active for less than a tenth of the steps: "
                    "choose at most 0.9, or switch it off"
                )
        return self

    @model_validator(mode="after")
    def _descriptions_are_used(self) -> Self:
        described = [name for name, data in self.data.items() if data.descriptions is not None]
        if self.model.semantics is None:
            if described:
                raise ValueError(
                    f"data.{described[0]}.descriptions is given, but the model fuses no semantics: add "
                    "[model.semantics], or leave the file out"
                )
            if self.objective.semantic_prototypes.enabled:
                raise ValueError("objective.semantic_prototypes are centroids of descriptions: add [model.semantics]")
        elif not described:
            raise ValueError(
                "[model.semantics] fuses descriptions of images: give data.NAME.descriptions, a file of `aahr describe`"
            )
        return self

    @model_validator(mode="after")
    def _data_suits_backbone(self) -> Self:
        of_regions = self.model.image_backbone.name == REGIONS
        for name, data in self.data.items():
            if of_regions and data.format != "scan":
                raise ValueError(
                    f"data.{name} holds images, the image backbone '{REGIONS}' takes precomputed regions: "
                    "use data of format 'scan', or another image backbone"
                )
            if not of_regions and data.format == "scan" and data.images is None:
                raise ValueError(f"data.{name}.images is missing: this image backbone takes the raw images")
        if of_regions and (self.batch.flips or self.model.cell_grid):
            raise ValueError("regions have no mirror image and no grid: leave batch.flips and model.cell_grid out")
        return self

    @model_validator(mode="after")
    def _queue_holds_whole_batches(self) -> Self:
        momentum, images = self.objective.momentum, self.batch.images
        if momentum.enabled and momentum.queue % images:
            nearest = max(1, round(momentum.queue / images)) * images
            raise ValueError(
                f"objective.momentum.queue = {momentum.queue} is not a whole number of batches of batch.images = "
                f"{images}: choose {nearest}"
            )
        return self


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Parse a TOML recipe, or the shipped one of this name.

    Each override is `a.b=value` with a TOML value (a bare word counts as a string).
    `extends = "other.toml"` takes another recipe of the same folder as the base. Environment variables and ~ in paths
    of data sets and backbones are expanded. Raises ConfigError naming the key and the value.
    """
    path = _find_recipe(path)
    tree = _read_tree(path)
    for override in overrides:
        _apply_override(tree, override)
    return parse_config(_expand(tree), source=str(path))


def parse_config(tree: dict[str, Any], source: str) -> TrainingConfig:
    """Validate a recipe that was parsed already; `source` names it in errors."""
    try:
        config = TrainingConfig.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'recipe'}: {item['msg']} (got {item['input']!r:.80})"
            for item in error.errors()
        )
        raise ConfigError(f"{source}: {problems}") from None
    refuse_idle_prototypes(config.objective, source)
    return config


def _find_recipe(path: Path) -> Path:
    """A bare name is that of a recipe installed with this package, unless there is such a file."""
    shipped = _SHIPPED / f"{path}.toml"
    return shipped if path.name == str(path) and not path.exists() and shipped.is_file() else path


def _read_tree(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a recipe over those of the recipe that it extends."""
    chain = (*extended_by, path.resolve())
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = ", ".join(sorted(recipe.stem for recipe in _SHIPPED.glob("*.toml")))
        raise ConfigError(f"no training config at {path}; give a file, or one of {names}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    base = tree.pop("extends", None)
    if base is None:
        return tree
    base_path = path.parent / str(base)
    if base_path.resolve() in chain:
        circle = " -> ".join(each.name for each in (*chain[chain.index(base_path.resolve()) :], base_path))
        raise ConfigError(f"{base_path} extends itself ({circle}): take `extends` out of one of them")
    return _merge(_read_tree(base_path, chain), tree)


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; any other value replaces the one of the base."""
    merged = dict(base)
    for key, value in changes.items():
        both_tables = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both_tables else value
    return merged


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {override}: write key=value, such as optimiser.learning_rate=1e-4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a table")
    tree[leaf] = value


def _expand(tree: dict[str, Any]) -> dict[str, Any]:
    """With the paths of data sets and backbones as the machine has them."""
    for table, keys in (
        ("data", ("captions", "images", "directory", "clip", "descriptions", "training_descriptions")),
        ("model", ("path",)),
    ):
        parts = tree.get(table)
        for part in parts.values() if isinstance(parts, dict) else ():
            for key in keys:
                if isinstance(part, dict) and isinstance(part.get(key), str):
                    part[key] = os.path.expanduser(os.path.expandvars(part[key]))
    return tree
