"""What `aahr export` does, in order: graphs, comparison with torch, the variant asked for, what it keeps on val."""

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from model.artifact import (
    GLOBAL_TOKENIZER,
    SENTENCE_GRAPH,
    SENTENCE_TOKENIZER,
    TEXT_GRAPH,
    TOKENIZER,
    Precision,
    Semantics,
    SemanticsReference,
    write_manifest,
    write_semantics,
)
from model.calibration import CALIBRATION
from model.manifest import published_directory
from model.origins import CheckpointReference
from training.checkpoint import Checkpoint, library_versions, open_checkpoint
from training.export.describers import write_describer
from training.export.parity import check_parity
from training.export.retention import HeldOut, held_out, refuse_loss, write_variant
from training.export.towers import Towers, load_towers, write_graphs


def export(
    checkpoint_directory: Path,
    out: Path,
    *,
    precision: Precision = "fp32",
    check: Path | None = None,
    data: Path | None = None,
    images: Path | None = None,
    descriptions: Path | None = None,
    describer: Path | None = None,
    cache: Path | None = None,
) -> None:
    """Write the artifact of a checkpoint in one rename.

    The fp32 graphs are compared with torch, on images of `check` or a few drawn scenes. A variant, "fp16" or "int8",
    is then measured on the val split of the recipe's data set (`data`, `images` and `descriptions` say where it lies
    here), and its figures stand in the manifest. A describer that needs no server comes with a model that was trained
    on its descriptions (`describer`: its folder).

    Raises TrainingError, and publishes nothing, where a cosine with torch is below 0.9999 or a variant loses more than
    1 rSum; DataError where there is no val split to measure on.
    """
    checkpoint = open_checkpoint(checkpoint_directory)
    towers = load_towers(checkpoint)
    with published_directory(out) as staging, TemporaryDirectory() as scratch:
        note = write_describer(staging, checkpoint.manifest.described_by, describer)
        if precision == "fp32":
            smallest = _write_exact(checkpoint, towers, staging, check)
            found = f"smallest cosine with torch {smallest:.6f}"
        else:
            _write_exact(checkpoint, towers, Path(scratch), check)
            place = held_out(checkpoint.config, data, images, cache or Path(scratch) / "cache", descriptions)
            found = _write_variant(checkpoint, towers, Path(scratch), staging, precision, place)
    console = Console(markup=False)
    console.print(f"exported {checkpoint_directory} to {out} ({precision}): {found}", soft_wrap=True)
    if note is not None:
        console.print(note, soft_wrap=True)


def _write_exact(checkpoint: Checkpoint, towers: Towers, directory: Path, check: Path | None) -> float:
    write_graphs(towers, directory)
    _write_metadata(directory, checkpoint, towers, "fp32", checkpoint.manifest.evaluation)
    return check_parity(directory, towers, check)


def _write_variant(
    checkpoint: Checkpoint, towers: Towers, exact: Path, staging: Path, precision: Precision, place: HeldOut
) -> str:
    expected = place.measure(exact)  # first: without data there is nothing else to do
    text_graphs = (TEXT_GRAPH,) if towers.sentence is None else (TEXT_GRAPH, SENTENCE_GRAPH)
    write_variant(exact, staging, precision, text_graphs, place, towers.backbones.image.preprocessing)
    _write_metadata(staging, checkpoint, towers, precision, {})
    measured = place.measure(staging)
    refuse_loss(expected, measured, precision)
    evaluation = {f"{place.name}/{metric}": value for metric, value in measured.items()}
    _write_metadata(staging, checkpoint, towers, precision, evaluation)
    return f"rSum {measured['rsum']:.2f} on val, the fp32 graphs have {expected['rsum']:.2f}"


def _write_metadata(
    directory: Path, checkpoint: Checkpoint, towers: Towers, precision: Precision, evaluation: Mapping[str, float]
) -> None:
    """The tokenizers, preprocessing, calibration and manifest beside the graphs."""
    manifest, backbones = checkpoint.manifest, towers.backbones
    shutil.copyfile(backbones.text.tokenizer_file, directory / TOKENIZER)
    if backbones.text_global is not None:
        shutil.copyfile(backbones.text_global.tokenizer_file, directory / GLOBAL_TOKENIZER)
    if backbones.sentence is not None:
        shutil.copyfile(backbones.sentence.tokenizer_file, directory / SENTENCE_TOKENIZER)
        write_semantics(
            directory, Semantics(max_length=backbones.sentence.preprocessing.max_length, missing=towers.missing)
        )
    if CALIBRATION in manifest.files:
        shutil.copyfile(checkpoint.directory / CALIBRATION, directory / CALIBRATION)
    write_manifest(
        directory,
        name=manifest.name,
        precision=precision,
        dimension=towers.dimension,
        image_input="pixels" if towers.takes_pixels else "regions",
        image_backbone=backbones.image.name,
        text_backbone=backbones.text.name,
        text_global_backbone=None if backbones.text_global is None else backbones.text_global.name,
        semantics=_reference(checkpoint, towers),
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


def _reference(checkpoint: Checkpoint, towers: Towers) -> SemanticsReference | None:
    """Who described what a network with semantics was trained on."""
    source, sentence = checkpoint.manifest.described_by, towers.backbones.sentence
    if sentence is None:
        return None
    assert source is not None, "a network with semantics is trained on descriptions"
    return SemanticsReference(
        describer=source.describer, prompt_hash=source.prompt_hash, sentence_encoder=sentence.name
    )
