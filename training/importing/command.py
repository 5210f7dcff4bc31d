"""What `aahr import` does, in order: check the files, write graphs, compare with torch, write the variant asked for."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from tokenizers import Tokenizer

from model.artifact import IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, Precision, load_model_artifact, write_manifest
from model.errors import ConfigError
from model.manifest import published_directory
from model.nn.backbones.preprocessor import read_image_preprocessing
from model.onnx_session import OUTPUTS
from model.origins import ImportReference
from model.preprocess import ImagePreprocessing, Preprocessing, TextPreprocessing, prepare_images
from model.runtime import PIXEL_INPUTS, Runtime
from model.tokens import TOKEN_INPUTS
from training.checkpoint import library_versions
from training.export.parity import cosines, examples, smallest_cosine
from training.export.retention import HeldOut, refuse_loss, write_variant
from training.importing.files import open_model_directory
from training.importing.texts import read_tokenizer
from training.importing.towers import ImportedTowers, load_towers
from training.onnx_export import export_graph

TOKENS_IN_EXAMPLE = 5


class _Import(NamedTuple):
    """Everything that goes into the artifact but the graphs of a precision."""

    name: str
    reference: ImportReference
    towers: ImportedTowers
    tokenizer: Tokenizer
    image: ImagePreprocessing
    text: TextPreprocessing


def import_model(
    directory: Path,
    out: Path,
    *,
    name: str | None = None,
    precision: Precision = "fp32",
    check: Path | None = None,
    data: Path | None = None,
    images: Path | None = None,
    cache: Path | None = None,
) -> None:
    """Write the artifact of a CLIP or SigLIP directory in one rename; `name` is the directory's own by default.

    The fp32 graphs are compared with torch, on images of `check` or a few drawn scenes. A variant, "fp16" or "int8", is
    then measured on the val split of `data`, and its figures stand in the manifest.

    Raises ArtifactMissing, ArtifactCorrupt and ConfigError for a directory that cannot be imported. Raises
    TrainingError, and publishes nothing, where a cosine with torch is below 0.9999 or a variant loses more than 1 rSum.
    """
    if precision != "fp32" and data is None:
        raise ConfigError(
            f"an {precision} model is measured on a val split before it is written: say with --data and --images where "
            "a data set lies, or import in fp32"
        )
    found = _read(directory, name)
    with published_directory(out) as staging, TemporaryDirectory() as scratch:
        if data is None or precision == "fp32":
            smallest = _write_exact(found, staging, check)
            kept = f"smallest cosine with torch {smallest:.6f}"
        else:
            _write_exact(found, Path(scratch), check)
            place = HeldOut(data.stem.removeprefix("dataset_"), data, images, cache or Path(scratch) / "cache")
            kept = _write_variant(found, Path(scratch), staging, precision, place)
    line = f"imported {found.reference.model_type} {directory} to {out} ({precision}): {kept}"
    Console(markup=False).print(line, soft_wrap=True, highlight=False)


def _read(directory: Path, name: str | None) -> _Import:
    """Cheap files first: what they refuse costs no reading of weights."""
    source = open_model_directory(directory)
    tokenizer = read_tokenizer(source)
    towers = load_towers(source, pad_id=(tokenizer.padding or {}).get("pad_id", 0))
    return _Import(
        name or directory.resolve().name,
        source.reference,
        towers,
        tokenizer,
        read_image_preprocessing(directory, towers.image_size, source.model_type),
        TextPreprocessing(max_length=towers.max_length),
    )


def _write_exact(found: _Import, directory: Path, check: Path | None) -> float:
    towers = found.towers
    pixels = {PIXEL_INPUTS[0]: torch.zeros(2, 3, towers.image_size, towers.image_size)}
    export_graph(towers.image, pixels, OUTPUTS, {PIXEL_INPUTS[0]: (0,)}, directory / IMAGE_GRAPH)
    length = min(TOKENS_IN_EXAMPLE, towers.max_length - 1)
    tokens = dict.fromkeys(TOKEN_INPUTS, torch.ones(2, length, dtype=torch.int64))
    export_graph(towers.text, tokens, OUTPUTS, dict.fromkeys(tokens, (0, 1)), directory / TEXT_GRAPH)
    _write_metadata(found, directory, "fp32", {})
    return _compare_with_torch(found, directory, check)


def _write_variant(found: _Import, exact: Path, staging: Path, precision: Precision, place: HeldOut) -> str:
    expected = place.measure(exact)  # first: without data there is nothing else to do
    write_variant(exact, staging, precision, (TEXT_GRAPH,), place, found.image)
    _write_metadata(found, staging, precision, {})
    measured = place.measure(staging)
    refuse_loss(expected, measured, precision)
    _write_metadata(found, staging, precision, {f"{place.name}/{metric}": value for metric, value in measured.items()})
    return f"rSum {measured['rsum']:.2f} on val, the fp32 graphs have {expected['rsum']:.2f}"


def _write_metadata(found: _Import, directory: Path, precision: Precision, evaluation: Mapping[str, float]) -> None:
    """The tokenizer, preprocessing and manifest beside the graphs."""
    found.tokenizer.save(str(directory / TOKENIZER))
    write_manifest(
        directory,
        name=found.name,
        precision=precision,
        dimension=found.towers.dimension,
        image_input="pixels",
        image_backbone=found.reference.model_type,
        text_backbone=found.reference.model_type,
        imported=found.reference,
        evaluation=evaluation,
        preprocessing=Preprocessing(image=found.image, text=found.text),
        versions={**library_versions(), "onnx": version("onnx")},
    )


def _compare_with_torch(found: _Import, directory: Path, check: Path | None) -> float:
    """The smallest cosine between the graphs and torch, over a few images and captions; raises TrainingError."""
    images, captions = examples(check)
    pixels = prepare_images(images, found.image)
    with Runtime.load(load_model_artifact(directory, verify=False)) as runtime, torch.inference_mode():
        tokens = runtime.tokenizer(captions)
        ids, mask = torch.from_numpy(tokens.input_ids), torch.from_numpy(tokens.attention_mask)
        of_texts = cosines(runtime.encode_tokens(tokens), found.towers.text(ids, mask)[0].numpy())
        of_images = cosines(runtime.encode_pixels(pixels), found.towers.image(torch.from_numpy(pixels))[0].numpy())
    return smallest_cosine(np.concatenate([of_texts, of_images]))
