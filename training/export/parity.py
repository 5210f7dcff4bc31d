"""The exported fp32 graphs against torch, on the same images and captions."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from model.artifact import load_model_artifact
from model.errors import DataError, TrainingError
from model.preprocess import FORMATS, Tokens, decode_image, prepare_images
from model.runtime import Runtime
from model.semantics import SEMANTICS_INPUT
from model.tokens import SENTENCE_TOKEN_INPUTS, token_feeds
from training.export.towers import REGIONS_IN_EXAMPLE, Towers
from training.scenes import write_scenes

MIN_COSINE = 0.9999
CHECKED_ITEMS = 16

Floats = NDArray[np.float32]


def check_parity(directory: Path, towers: Towers, check: Path | None) -> float:
    """The smallest cosine between an exported model and torch.

    Images of the folder `check` and captions beside them (`*.txt`) are compared, else a few drawn scenes. Raises
    TrainingError where a cosine is below 0.9999.
    """
    return smallest_cosine(np.concatenate(_cosines_of_both(directory, towers, check)))


def smallest_cosine(found: Floats) -> float:
    """The smallest of the cosines with torch; raises TrainingError where it is below 0.9999."""
    smallest = float(found.min())
    if not smallest >= MIN_COSINE:  # nor where a cosine is not a number
        raise TrainingError(
            f"the exported graphs differ from torch: smallest cosine {smallest:.6f}, at least {MIN_COSINE} is "
            "asked for; nothing was written"
        )
    return smallest


def draw_examples(count: int) -> tuple[list[Image.Image], list[str]]:
    """Drawn images, and as many of their captions."""
    with TemporaryDirectory() as folder:
        write_scenes(Path(folder), count=count, seed=0)
        scenes = json.loads((Path(folder) / "scenes.json").read_bytes())["images"]
        images = [decode_image(Path(folder) / "images" / scene["filename"]) for scene in scenes]
    return images, [sentence["raw"] for scene in scenes for sentence in scene["sentences"]][:count]


def _cosines_of_both(directory: Path, towers: Towers, check: Path | None) -> tuple[Floats, Floats]:
    images, captions = examples(check)
    backbones = towers.backbones
    tokens = backbones.read_tokenizer()(captions)
    described = _semantics_by_torch(towers, captions)
    with Runtime.load(load_model_artifact(directory, verify=False)) as runtime:
        text = cosines(runtime.encode_tokens(tokens), _texts_by_torch(towers, tokens))
        if backbones.image.preprocessing is None:
            return text, cosines(*_regions_both_ways(runtime, towers))
        pixels = prepare_images(images, backbones.image.preprocessing)
        semantics = None if described is None else described[np.arange(len(pixels)) % len(described)]
        with torch.inference_mode():
            expected = towers.image(torch.from_numpy(pixels), semantics)[0].numpy()
        return text, cosines(runtime.encode_pixels(pixels, None if semantics is None else semantics.numpy()), expected)


def _texts_by_torch(towers: Towers, tokens: Tokens) -> Floats:
    feeds = {name: torch.from_numpy(array) for name, array in token_feeds(tokens).items()}
    inputs = {name: tensor for name, tensor in feeds.items() if name not in SENTENCE_TOKEN_INPUTS}
    with torch.inference_mode():
        if towers.sentence is not None:
            inputs[SEMANTICS_INPUT] = towers.sentence(*(feeds[name] for name in SENTENCE_TOKEN_INPUTS))
        embedding: Floats = towers.text(**inputs)[0].numpy()
    return embedding


def _semantics_by_torch(towers: Towers, descriptions: list[str]) -> torch.Tensor | None:
    """Semantics [n, D] to compare images with, where the network fuses some."""
    if towers.sentence is None or towers.backbones.sentence is None:
        return None
    tokens = towers.backbones.sentence.read_tokenizer()(descriptions)
    with torch.inference_mode():
        semantics: torch.Tensor = towers.sentence(
            torch.from_numpy(tokens.input_ids), torch.from_numpy(tokens.attention_mask)
        )
    return semantics


def _regions_both_ways(runtime: Runtime, towers: Towers) -> tuple[Floats, Floats]:
    """Random regions of different counts, since there are no image files to take them from."""
    image, _ = towers.backbones.dimensions
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(CHECKED_ITEMS, REGIONS_IN_EXAMPLE, image.local_dimension, generator=generator)
    count = torch.randint(1, REGIONS_IN_EXAMPLE + 1, (CHECKED_ITEMS, 1), generator=generator)
    mask = torch.arange(REGIONS_IN_EXAMPLE) < count
    global_features = torch.randn(CHECKED_ITEMS, image.global_dimension, generator=generator)
    with torch.inference_mode():
        missing = None if towers.sentence is None else torch.tensor(towers.missing).expand(CHECKED_ITEMS, -1)
        expected = towers.image(cells, mask, global_features, missing)[0].numpy()
    return runtime.encode_regions(cells.numpy(), mask.numpy(), global_features.numpy()), expected


def cosines(first: Floats, second: Floats) -> Floats:
    """Of each row of one [n, D] with that of the other, to [n]."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    found: Floats = (first * second).sum(axis=1) / norms
    return found


def examples(check: Path | None) -> tuple[list[Image.Image], list[str]]:
    """Images and captions of the given folder; drawn ones where there is none. Raises DataError without an image."""
    if check is None:
        return draw_examples(CHECKED_ITEMS)
    suffixes = {f".{name.lower()}" for name in FORMATS} | {".jpg"}
    paths = sorted(path for path in check.rglob("*") if path.suffix.lower() in suffixes)[:CHECKED_ITEMS]
    captions = [line for path in sorted(check.rglob("*.txt")) for line in path.read_text("utf-8").splitlines() if line]
    if not paths:
        raise DataError(f"--check {check} holds no image: put some there, or leave the option out")
    named = [f"an image called {path.stem}" for path in paths]
    return [decode_image(path) for path in paths], captions[:CHECKED_ITEMS] or named
