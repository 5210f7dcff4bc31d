"""`aahr export`: a checkpoint to the model artifact that indexing and serving run without torch."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from model.artifact import (
    IMAGE_GRAPH,
    TEXT_GRAPH,
    TOKENIZER,
    CheckpointReference,
    load_model_artifact,
    seal_model_artifact,
)
from model.errors import DataError, TrainingError
from model.graph import OUTPUTS
from model.manifest import published_directory
from model.nn.aahr import AAHR, ImageTower, PixelTower, RegionTower, TextTower
from model.preprocess import FORMATS, Preprocessing, TextTokenizer, Tokens, decode_image, prepare_images
from model.runtime import PIXEL_INPUTS, REGION_INPUTS, TOKEN_INPUTS, Runtime
from training.checkpoint import Backbones, Checkpoint, library_versions, load_backbones, load_network, open_checkpoint
from training.data.scenes import write_scenes
from training.graphs import export_graph

SMALLEST_COSINE = 0.9999
CHECKED_ITEMS = 16
REGIONS_IN_EXAMPLE = 36


def export(checkpoint_directory: Path, out: Path, *, check: Path | None = None) -> float:
    """Write the artifact of a checkpoint in one rename; gives the smallest cosine between the graphs and torch.

    Both graphs are compared with torch on pictures of `check` and captions beside them (`*.txt`), else on a few drawn
    scenes. Raises TrainingError, and publishes nothing, where a cosine is below 0.9999.
    """
    checkpoint = open_checkpoint(checkpoint_directory)
    backbones = load_backbones(checkpoint.config)
    network = load_network(checkpoint, backbones)
    takes_pixels = backbones.image.preprocessing is not None
    image_tower = (PixelTower if takes_pixels else RegionTower)(
        backbones.image, network.reduction, network.image_encoder
    ).eval()
    text_tower = TextTower(network.text_backbone or backbones.text, network.text_encoder).eval()
    with published_directory(out) as staging:
        _write_image_graph(image_tower, backbones, staging / IMAGE_GRAPH)
        _write_text_graph(text_tower, staging / TEXT_GRAPH)
        shutil.copyfile(backbones.text.tokenizer_file, staging / TOKENIZER)
        _seal(staging, checkpoint, backbones, network)
        smallest = _smallest_cosine(staging, image_tower, text_tower, backbones, check)
        if smallest < SMALLEST_COSINE:
            raise TrainingError(
                f"the exported graphs differ from torch: smallest cosine {smallest:.6f}, at least {SMALLEST_COSINE} is "
                f"asked for; nothing was written to {out}"
            )
    message = f"exported {checkpoint_directory} to {out}: smallest cosine with torch {smallest:.6f}"
    Console().print(message, soft_wrap=True)
    return smallest


def _write_image_graph(tower: ImageTower, backbones: Backbones, file: Path) -> None:
    if backbones.image.preprocessing is not None:
        size = backbones.image.preprocessing.size
        inputs = {"pixels": torch.zeros(2, 3, size, size)}
        axes: dict[str, tuple[int, ...]] = {"pixels": (0,)}
        names: Sequence[str] = PIXEL_INPUTS
    else:
        image, _ = backbones.dimensions
        cells = torch.randn(2, REGIONS_IN_EXAMPLE, image.local_dimension)
        mask = torch.ones(cells.shape[:2], dtype=torch.bool)
        inputs = {"regions": cells, "region_mask": mask, "global_features": torch.randn(2, image.global_dimension)}
        axes = {"regions": (0, 1), "region_mask": (0, 1), "global_features": (0,)}
        names = REGION_INPUTS
    export_graph(tower, {name: inputs[name] for name in names}, OUTPUTS, axes, file)


def _write_text_graph(tower: TextTower, file: Path) -> None:
    tokens = torch.ones(2, 8, dtype=torch.int64)
    export_graph(tower, dict.fromkeys(TOKEN_INPUTS, tokens), OUTPUTS, dict.fromkeys(TOKEN_INPUTS, (0, 1)), file)


def _seal(staging: Path, checkpoint: Checkpoint, backbones: Backbones, network: AAHR) -> None:
    manifest = checkpoint.manifest
    seal_model_artifact(
        staging,
        name=manifest.name,
        dimension=network.config.dimension,
        image_input="regions" if backbones.image.preprocessing is None else "pixels",
        image_backbone=backbones.image.name,
        text_backbone=backbones.text.name,
        checkpoint=CheckpointReference(
            sha256=checkpoint.sha256,
            epoch=manifest.epoch,
            step=manifest.step,
            seed=manifest.seed,
            config_sha256=checkpoint.config_sha256,
        ),
        evaluation=manifest.evaluation,
        preprocessing=Preprocessing(image=backbones.image.preprocessing, text=backbones.text.preprocessing),
        versions=library_versions(),
    )


def _smallest_cosine(
    staging: Path, image_tower: ImageTower, text_tower: TextTower, backbones: Backbones, check: Path | None
) -> float:
    pictures, captions = _examples(check)
    tokens = TextTokenizer(backbones.text.tokenizer_file, backbones.text.preprocessing.max_length)(captions)
    with Runtime.load(load_model_artifact(staging, verify=False)) as runtime:
        text = _cosines(runtime.encode_tokens(tokens), _texts_by_torch(text_tower, tokens))
        if backbones.image.preprocessing is None:
            image = _cosines(*_regions_both_ways(runtime, image_tower, backbones))
        else:
            pixels = prepare_images(pictures, backbones.image.preprocessing)
            with torch.inference_mode():
                expected = image_tower(torch.from_numpy(pixels))[0].numpy()
            image = _cosines(runtime.encode_pixels(pixels), expected)
    return float(min(text.min(), image.min()))


def _texts_by_torch(tower: TextTower, tokens: Tokens) -> NDArray[np.float32]:
    with torch.inference_mode():
        embedding: NDArray[np.float32] = tower(
            torch.from_numpy(tokens.input_ids), torch.from_numpy(tokens.attention_mask)
        )[0].numpy()
    return embedding


def _regions_both_ways(
    runtime: Runtime, tower: ImageTower, backbones: Backbones
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Random regions of different counts, as there are no pictures to take them from."""
    image, _ = backbones.dimensions
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(CHECKED_ITEMS, REGIONS_IN_EXAMPLE, image.local_dimension, generator=generator)
    count = torch.randint(1, REGIONS_IN_EXAMPLE + 1, (CHECKED_ITEMS, 1), generator=generator)
    mask = torch.arange(REGIONS_IN_EXAMPLE) < count
    whole = torch.randn(CHECKED_ITEMS, image.global_dimension, generator=generator)
    with torch.inference_mode():
        expected = tower(cells, mask, whole)[0].numpy()
    return runtime.encode_regions(cells.numpy(), mask.numpy(), whole.numpy()), expected


def _cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: NDArray[np.float32] = (first * second).sum(axis=1) / norms
    return cosines


def _examples(check: Path | None) -> tuple[list[Image.Image], list[str]]:
    """Pictures and captions to compare on: of the given folder, else a few drawn scenes."""
    if check is None:
        with TemporaryDirectory() as folder:
            write_scenes(Path(folder), count=CHECKED_ITEMS, seed=0)
            scenes = json.loads((Path(folder) / "scenes.json").read_bytes())["images"]
            pictures = [decode_image(Path(folder) / "images" / scene["filename"]) for scene in scenes]
        return pictures, [sentence["raw"] for scene in scenes for sentence in scene["sentences"]][:CHECKED_ITEMS]
    suffixes = {f".{name.lower()}" for name in FORMATS} | {".jpg"}
    paths = sorted(path for path in check.rglob("*") if path.suffix.lower() in suffixes)[:CHECKED_ITEMS]
    captions = [line for path in sorted(check.rglob("*.txt")) for line in path.read_text("utf-8").splitlines() if line]
    if not paths:
        raise DataError(f"--check {check} holds no picture: put some there, or leave the option out")
    named = [f"a photograph called {path.stem}" for path in paths]
    return [decode_image(path) for path in paths], captions[:CHECKED_ITEMS] or named
