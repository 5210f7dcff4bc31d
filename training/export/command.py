"""What `aahr export` does, in order: graphs, comparison with torch, the variant asked for, what it keeps on val."""

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from model.artifact import (
    GLOBAL_TOKENIZER,
    IMAGE_GRAPH,
    TEXT_GRAPH,
    TOKENIZER,
    CheckpointReference,
    Precision,
    write_manifest,
)
from model.manifest import published_directory
from training.checkpoint import Checkpoint, library_versions, open_checkpoint
from training.export.parity import check_parity
from training.export.retention import HeldOut, held_out, refuse_loss
from training.export.towers import Towers, load_towers, write_graphs
from training.export.variants import write_fp16, write_int8


def export(
    checkpoint_directory: Path,
    out: Path,
    *,
    precision: Precision = "fp32",
    check: Path | None = None,
    data: Path | None = None,
    images: Path | None = None,
    cache: Path | None = None,
) -> None:
    """Write the artifact of a checkpoint in one rename.

    The fp32 graphs are compared with torch, on images of `check` or a few drawn scenes. A variant, "fp16" or "int8",
    is then measured on the val split of the recipe's data set (`data` and `images`: where it lies here), and its
    figures stand in the manifest. Raises TrainingError, and publishes nothing, where a cosine with torch is below
    0.9999 or a variant loses more than 1 rSum; DataError where there is no val split to measure on.
    """
    checkpoint = open_checkpoint(checkpoint_directory)
    towers = load_towers(checkpoint)
    with published_directory(out) as staging, TemporaryDirectory() as scratch:
        if precision == "fp32":
            smallest = _write_exact(checkpoint, towers, staging, check)
            found = f"smallest cosine with torch {smallest:.6f}"
        else:
            _write_exact(checkpoint, towers, Path(scratch), check)
            place = held_out(checkpoint.config, data, images, cache or Path(scratch) / "cache")
            found = _write_variant(checkpoint, towers, Path(scratch), staging, precision, place)
    Console(markup=False).print(f"exported {checkpoint_directory} to {out} ({precision}): {found}", soft_wrap=True)


def _write_exact(checkpoint: Checkpoint, towers: Towers, directory: Path, check: Path | None) -> float:
    write_graphs(towers, directory)
    _write_metadata(directory, checkpoint, towers, "fp32", checkpoint.manifest.evaluation)
    return check_parity(directory, towers, check)


def _write_variant(
    checkpoint: Checkpoint, towers: Towers, exact: Path, staging: Path, precision: Precision, place: HeldOut
) -> str:
    expected = place.measure(exact)  # first: without data there is nothing else to do
    if precision == "fp16":
        for graph in (IMAGE_GRAPH, TEXT_GRAPH):
            write_fp16(exact / graph, staging / graph)
    else:
        preprocessing = towers.backbones.image.preprocessing
        calibration = [] if preprocessing is None else place.calibration(preprocessing)
        write_int8(exact / IMAGE_GRAPH, staging / IMAGE_GRAPH, calibration)
        write_int8(exact / TEXT_GRAPH, staging / TEXT_GRAPH)
    _write_metadata(staging, checkpoint, towers, precision, {})
    measured = place.measure(staging)
    refuse_loss(expected, measured, precision)
    evaluation = {f"{place.name}/{metric}": value for metric, value in measured.items()}
    _write_metadata(staging, checkpoint, towers, precision, evaluation)
    return f"rSum {measured['rsum']:.2f} on val, the fp32 graphs have {expected['rsum']:.2f}"


def _write_metadata(
    directory: Path, checkpoint: Checkpoint, towers: Towers, precision: Precision, evaluation: Mapping[str, float]
) -> None:
    """The tokenizers, preprocessing and manifest beside the graphs."""
    manifest, backbones = checkpoint.manifest, towers.backbones
    shutil.copyfile(backbones.text.tokenizer_file, directory / TOKENIZER)
    if backbones.text_global is not None:
        shutil.copyfile(backbones.text_global.tokenizer_file, directory / GLOBAL_TOKENIZER)
    write_manifest(
        directory,
        name=manifest.name,
        precision=precision,
        dimension=towers.dimension,
        image_input="pixels" if towers.takes_pixels else "regions",
        image_backbone=backbones.image.name,
        text_backbone=backbones.text.name,
        text_global_backbone=None if backbones.text_global is None else backbones.text_global.name,
        checkpoint=CheckpointReference(
            sha256=checkpoint.sha256,
            epoch=manifest.epoch,
            step=manifest.step,
            seed=manifest.seed,
            config_sha256=checkpoint.config_sha256,
        ),
        evaluation=evaluation,
        preprocessing=backbones.preprocessing,
        versions={**library_versions(), "onnx": version("onnx")},
    )
