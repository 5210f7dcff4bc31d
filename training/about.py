"""What an evaluation is about: on which data a model was measured, and whether it was trained on that data set."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.artifact import ModelManifest, load_model_artifact
from training.checkpoint import is_exported, open_checkpoint
from training.config import DataConfig
from training.evaluation_data import EvaluationData

Domain = Literal["in-domain", "zero-shot", "unknown"]

# Names of one data set in the files and folders that are in circulation.
_SAME = {"f8k": "flickr8k", "f30k": "flickr30k", "mscoco": "coco", "nytimes": "n24news"}


@dataclass(frozen=True)
class About:
    """What the figures of an evaluation are about.

    Attributes:
        data: name of the data set, as its own file says it.
        split: train, val or test.
        images: how many, N.
        captions: how many, M.
        trained_on: the data sets of the recipe that the model was trained with, as far as the model tells.
        domain: whether `data` is one of them; "unknown" where it is not, but the model may not name them all.
    """

    data: str
    split: str
    images: int
    captions: int
    trained_on: tuple[str, ...]
    domain: Domain

    @property
    def line(self) -> str:
        """One line for people."""
        known = f" (trained on {', '.join(self.trained_on)})" if self.trained_on else ""
        return f"{self.data} {self.split}: {self.images:,} images, {self.captions:,} captions; {self.domain}{known}"


@dataclass(frozen=True)
class _Training:
    """What a model tells of its training data: `names` are all that each goes by, `files` where they lay."""

    labels: tuple[str, ...]
    names: frozenset[str]
    files: frozenset[Path]
    complete: bool


def describe_evaluation(directory: Path, on: EvaluationData) -> About:
    """What `training.evaluate.evaluate` with the same arguments measures; reads the captions, but loads no model.

    Raises ArtifactMissing and ArtifactCorrupt for a directory without a model, and DataError as `read_split` does.
    """
    dataset, data = on.read(), on.data
    in_scan_format = on.data_format == "scan" or (on.data_format is None and data.is_dir())
    name = (_folder_name(data) if in_scan_format else dataset.name).removesuffix(f" {on.split}")
    training = _training_of(directory)
    own = _plain(name) in training.names or data.resolve() in training.files
    domain: Domain = "in-domain" if own else "zero-shot" if training.complete else "unknown"
    return About(name, on.split, len(dataset), len(dataset.captions), training.labels, domain)


def _training_of(directory: Path) -> _Training:
    if is_exported(directory):
        return _of_manifest(load_model_artifact(directory, verify=False).manifest)
    return _of_recipe(open_checkpoint(directory).config.data)


def _of_manifest(manifest: ModelManifest) -> _Training:
    """By the names of the figures on val: fp32 has those of the whole recipe, a variant of one of its data sets.

    What an imported model was trained on is not ours to know: its figures are those of the import.
    """
    if manifest.imported is not None:
        return _Training((), frozenset(), frozenset(), complete=False)
    names = tuple(dict.fromkeys(key.partition("/")[0] for key in manifest.evaluation if "/" in key))
    complete = manifest.precision == "fp32" and bool(names)
    return _Training(names, frozenset(map(_plain, names)), frozenset(), complete)


def _of_recipe(recipe: Mapping[str, DataConfig]) -> _Training:
    names = {key: _name_of(key, data) for key, data in recipe.items()}
    labels = tuple(key if _plain(key) == _plain(name) else f"{key} ({name})" for key, name in names.items())
    files = frozenset(data.source.resolve() for data in recipe.values() if data.source is not None)
    return _Training(labels, frozenset(map(_plain, (*names, *names.values()))), files, complete=True)


def _name_of(key: str, data: DataConfig) -> str:
    """What the data set of a recipe is called by its format or its files, which may not be there any more."""
    if data.format in ("scenes", "n24news", "rsitmd"):
        return data.format
    if data.source is None:
        return key
    return data.source.stem.removeprefix("dataset_") if data.directory is None else _folder_name(data.source)


def _folder_name(directory: Path) -> str:
    """SCAN's files lie in `f30k_precomp`, or in `precomp` of a folder with the name."""
    path = directory.resolve()
    return path.parent.name if path.name == "precomp" else path.name.removesuffix("_precomp")


def _plain(name: str) -> str:
    """A name without case, punctuation and the usual variants."""
    bare = re.sub(r"[\W_]+", "", name.casefold().removeprefix("dataset_").removesuffix("_precomp"))
    return _SAME.get(bare, bare)
