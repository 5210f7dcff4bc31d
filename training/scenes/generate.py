"""Writes a data set of drawn scenes to a folder: `scenes.json` and `images/*.jpg`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import PIL
from rich.console import Console
from rich.progress import track

from model.errors import DataError
from training.scenes.dataset import Scene, describe_dataset, make_scenes
from training.scenes.drawing import draw_scene

JSON_NAME = "scenes.json"
UNFINISHED_NAME = "scenes.unfinished.json"
"""Stands in the folder until all is written, so that an interrupted run can be taken up again."""


@dataclass(frozen=True)
class SceneSummary:
    """What was written. `soft_negative_share` is the part of the captions that have a soft negative, 0 to 1."""

    directory: Path
    images: int
    captions: int
    soft_negative_share: float


def write_scenes(out: Path, *, count: int, seed: int) -> SceneSummary:
    """Draw `count` scenes into `out`; equal `count` and `seed` give equal files, byte for byte (with equal Pillow).

    `out` may be new, empty, or hold the output of the same `count` and `seed`, which is written again. Raises DataError
    for anything else in it, for a folder that cannot be made, and for a `count` below 1.
    """
    if count < 1:
        raise DataError(f"cannot draw {count} scenes: ask for at least 1")
    try:
        _claim_folder(out, {"dataset": "scenes", "seed": seed, "count": count})
        return _write(out, make_scenes(count, seed), seed)
    except OSError as error:
        raise DataError(f"cannot write scenes to {out}: {error.strerror}; choose another folder") from error


def generator_version(sources: Path = Path(__file__).parent) -> str:
    """Sixteen hexadecimal digits that change with whatever decides the files: the code in this folder, and Pillow."""
    digest = hashlib.sha256(PIL.__version__.encode())
    for file in sorted(sources.glob("*.py")):
        digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _claim_folder(out: Path, arguments: Mapping[str, object]) -> None:
    """Make `out` ours, or refuse it."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and arguments not in (_arguments(out / JSON_NAME), _arguments(out / UNFINISHED_NAME)):
        raise DataError(
            f"{out} holds other files: scenes are written to a new folder, or again with the same count and seed"
        )
    (out / "images").mkdir(exist_ok=True)
    (out / UNFINISHED_NAME).write_text(json.dumps(arguments))


def _arguments(path: Path) -> dict[str, object] | None:
    """What a run was called with, from what it wrote; None where the file is missing or not ours."""
    try:
        written = json.loads(path.read_text())
        count = written["count"] if "count" in written else len(written["images"])
        return {"dataset": written["dataset"], "seed": written["seed"], "count": count}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write(out: Path, scenes: Sequence[Scene], seed: int) -> SceneSummary:
    """Images first: `scenes.json` appears when everything that it names is there."""
    for scene in track(scenes, description="Drawing scenes", console=Console(stderr=True)):
        image = draw_scene(scene.facts, scene.stage, Random(f"picture {scene.image_id} of {seed}"))
        # Full colour resolution: the colour of small things is what captions speak of.
        image.save(out / "images" / scene.filename, quality=90, subsampling=0)
    described = describe_dataset(scenes, seed)
    unfinished = out / UNFINISHED_NAME
    unfinished.write_text(json.dumps(described, separators=(",", ":")) + "\n")
    unfinished.replace(out / JSON_NAME)
    return _summary(out, described)


def _summary(out: Path, described: Mapping[str, Any]) -> SceneSummary:
    sentences = [sentence for image in described["images"] for sentence in image["sentences"]]
    challenged = sum(bool(sentence["soft_negatives"]) for sentence in sentences)
    return SceneSummary(out, len(described["images"]), len(sentences), challenged / len(sentences))
