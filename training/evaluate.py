"""`aahr evaluate`: the only reader of the test split.

A checkpoint runs through torch, an exported model through ONNX Runtime, with the same code behind.
"""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table

from model.artifact import load_model_artifact
from model.calibration import CALIBRATION, read_calibration
from model.datasets.scan import open_scan
from model.descriptions import read_descriptions
from model.errors import ConfigError, DataError, UnsupportedQuery
from model.hubness import WEIGHT, hubness, spread
from model.manifest import write_text_atomically
from model.runtime import Runtime
from training.about import About
from training.calibration import calibration_errors, positives
from training.checkpoint import is_exported, load_network, open_checkpoint
from training.data.dataset import ImageTextDataset
from training.data.described import descriptions_of_images, refuse_undescribed
from training.data.judgments import load_judgments
from training.data.scan import region_table
from training.device import default_device
from training.embed import ArtifactEmbedder, CheckpointEmbedder, Embedder, Floats
from training.evaluation_data import EvaluationData
from training.metrics import Ranks, expert_tau_c, ranks_of, retrieval_metrics
from training.network import load_backbones
from training.protocols import check_protocol, evaluate_protocol


class Measured(NamedTuple):
    """What was found of a model on a split."""

    metrics: dict[str, float]
    ranks: Ranks


def evaluate(directory: Path, on: EvaluationData, cache: Path) -> dict[str, float]:
    """What the protocol measures of a checkpoint or exported model, and `expert_tau_c` where judgments are.

    With `normalise` all recalls are reported again as `normalised_…`, with hubs penalised (`model.hubness`) by at most
    1,000 images and captions of the train split. Of a calibrated model the standard
    protocol measures the expected calibration errors too, in hundredths.

    Raises ArtifactMissing where `directory` holds no model, DataError for data that is not in its format or not what
    the protocol is about, and UnsupportedQuery for data that the model cannot take.
    """
    return measure(directory, on, cache).metrics


def measure(directory: Path, on: EvaluationData, cache: Path) -> Measured:
    """As `evaluate`, with the rank of each query's first positive."""
    check_protocol(on.protocol)
    _refuse_own_bank(on)
    dataset = on.read()
    with closing(open_embedder(directory, cache)) as embedder:
        image_embeddings = _image_embeddings(embedder, directory, dataset, on, cache)
        text_embeddings = embedder.texts(dataset.captions)
        scores = image_embeddings @ text_embeddings.T
        metrics = evaluate_protocol(on.protocol, scores, dataset, on.data)
        if on.normalise:
            hubs = _hubness(embedder, image_embeddings, text_embeddings, on)
            found = retrieval_metrics(scores - WEIGHT * hubs, dataset.image_of_caption)
            metrics |= {f"normalised_{name}": value for name, value in found.items()}
        if on.judgments is not None:
            metrics["expert_tau_c"] = _judged(embedder, dataset, image_embeddings, on.judgments)
    if on.protocol == "standard" and (directory / CALIBRATION).exists():
        calibration = read_calibration(directory, expected="a calibrated model")
        metrics |= calibration_errors(calibration, scores, positives(dataset))
    return Measured(metrics, ranks_of(scores, dataset.image_of_caption))


def score_pairs(directory: Path, on: EvaluationData, cache: Path) -> tuple[ImageTextDataset, Floats]:
    """The split, and the cosine of each of its images with each of its captions [N, M]; raises as `evaluate`."""
    dataset = on.read()
    with closing(open_embedder(directory, cache)) as embedder:
        found = _image_embeddings(embedder, directory, dataset, on, cache)
        return dataset, found @ embedder.texts(dataset.captions).T


def show_metrics(metrics: Mapping[str, float], about: About, json_file: Path | None) -> None:
    """Print what they are about and a table, and write both as JSON where a file is given, the former as "about"."""
    table = Table("metric", Column("value", justify="right"))
    for name, value in metrics.items():
        table.add_row(name, f"{value:.1f}")
    console = Console()
    console.print(about.line, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    if json_file is not None:
        document = {**metrics, "about": asdict(about)}
        write_text_atomically(json_file, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def open_embedder(directory: Path, cache: Path) -> Embedder:
    """An exported model or a checkpoint, whichever the directory is; to be closed."""
    if is_exported(directory):
        return ArtifactEmbedder(Runtime.load(load_model_artifact(directory)))
    checkpoint = open_checkpoint(directory)
    backbones = load_backbones(checkpoint.config, default_device())
    clip = next((data.clip for data in checkpoint.config.data.values() if data.clip is not None), None)
    return CheckpointEmbedder(load_network(checkpoint, backbones), backbones, cache, clip)


def _image_embeddings(
    embedder: Embedder, directory: Path, dataset: ImageTextDataset, on: EvaluationData, cache: Path
) -> Floats:
    """Embeddings [N, D] of the images of a split."""
    described = None if on.descriptions is None else _described(dataset, on.images or on.data, on.descriptions)
    _refuse_unsupported(embedder, directory, on)
    if described is not None and not embedder.fuses_semantics:
        raise UnsupportedQuery(f"{directory} fuses no semantics, so that descriptions change nothing: leave them out")
    if embedder.takes_pixels:
        return embedder.images(dataset.image_paths, described)
    regions = region_table(open_scan(on.data, on.split), on.images, embedder.clip, cache)
    return embedder.regions(regions, described)


def _refuse_own_bank(on: EvaluationData) -> None:
    if on.normalise and (on.split == "train" or on.protocol != "standard"):
        raise ConfigError(
            f"split {on.split} by protocol {on.protocol} cannot be measured with --normalise: the bank comes from the "
            "train split, and only protocol standard supports it; leave it out"
        )


def _hubness(embedder: Embedder, images: Floats, texts: Floats, on: EvaluationData) -> Floats:
    """Of each image that of its row, and of each caption that of its column, added up [N, M].

    Either is a constant in the ranking that it is not about, so that one matrix serves both directions.
    """
    if not embedder.takes_pixels:
        raise UnsupportedQuery("--normalise supports models of images alone, not of regions; leave it out")
    bank = replace(on, split="train").read()
    of_images = hubness(images, embedder.texts([bank.captions[row] for row in spread(len(bank.captions))]))
    of_texts = hubness(texts, embedder.images([bank.image_paths[row] for row in spread(len(bank))]))
    return of_images[:, None] + of_texts[None]


def _refuse_unsupported(embedder: Embedder, directory: Path, on: EvaluationData) -> None:
    if embedder.takes_pixels and on.images is None:
        raise UnsupportedQuery(f"{directory} takes images: say with --images where those of {on.data} are")
    if not embedder.takes_pixels and not on.data.is_dir():
        raise UnsupportedQuery(f"{directory} takes precomputed regions: give --data a directory in SCAN's format")


def _described(dataset: ImageTextDataset, folder: Path, file: Path) -> list[str | None]:
    """The description of each image, as far as it has one; raises DataError where none has."""
    descriptions = read_descriptions(file)
    found = descriptions_of_images(dataset, folder, descriptions)
    if not any(found):
        raise refuse_undescribed(dataset, folder, descriptions)
    return found


def _judged(embedder: Embedder, dataset: ImageTextDataset, image_embeddings: Floats, file: Path) -> float:
    """Kendall tau-c of the model's scores with the judges' grades; the judged images must be of this split."""
    judged = load_judgments(file)
    row_of = {path.name: row for row, path in enumerate(dataset.image_paths)}
    if strangers := sorted(set(judged.images) - set(row_of)):
        raise DataError(
            f"{len(strangers)} images judged in {file} are not in {dataset.name}, the first is {strangers[0]}: "
            "choose the split that the judgments are about"
        )
    captions = sorted(set(judged.captions))
    place = {caption: row for row, caption in enumerate(captions)}
    text_embeddings = embedder.texts(captions)
    images = image_embeddings[[row_of[name] for name in judged.images]]
    texts = text_embeddings[[place[caption] for caption in judged.captions]]
    return expert_tau_c((images * texts).sum(axis=1), judged.grades)
