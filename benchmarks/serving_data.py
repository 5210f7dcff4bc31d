"""What the service is measured on: the shipped model, a gallery of any size made of real embeddings, and queries.

Rows are embeddings of Flickr8k's images plus Gaussian noise of norm 0.5, normalised; captions are Flickr8k's own.
Everything is drawn by fixed seeds and kept in a cache folder. Files appear there when they are complete, so that a run
that is killed can be started again.
"""

import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from http_load import Bodies
from numpy.typing import NDArray
from PIL import Image
from places import FLICKR8K, ROOT

from index.collection.local import LocalStore
from index.items import Modality
from index.manifest import IndexedModel
from index.metadata import SCHEMA
from index.pending import PendingRows, PendingVersion
from model.preprocess import decode_image
from model.runtime import Runtime

Floats = NDArray[np.float32]

NOISE_NORM = 0.5
IMAGES = 1_500
_BLOCK = 50_000
_SUFFIXES = ("", ", seen from afar", ", on a quiet morning")
_BOUNDARY = "aahr-benchmark"


def model(cache: Path, precision: str) -> Path:
    """The shipped model, exported."""
    directory = cache / f"mini-{precision}"
    if not directory.exists():
        command = [sys.executable, "-P", "-m", "cli", "export", "checkpoints/mini", "--out", str(directory)]
        subprocess.run([*command, "--precision", precision], cwd=ROOT, check=True)
    return directory


def gallery(cache: Path, model_directory: Path, rows: int) -> Path:
    """An index of so many images and of Flickr8k's captions, as `aahr index rebuild` would choose and tune it."""
    directory = cache / f"index-{model_directory.name}-{rows}"
    if not (directory / "CURRENT").exists():
        images, texts = _embeddings(cache, model_directory)
        with Runtime.load(model_directory, workers=1) as runtime:
            described = IndexedModel(
                model_id=runtime.model_id,
                name=runtime.name,
                dimension=runtime.dimension,
                directory=str(model_directory.resolve()),
            )
        pending = {Modality.IMAGE: _rows("image", _extended(images, rows)), Modality.TEXT: _rows("text", texts)}
        root = FLICKR8K / "images"
        LocalStore(directory).publish(PendingVersion(model=described, images_root=root, rows=pending))
    return directory


def indexed_rows(index: Path, modality: Modality) -> PendingRows:
    """What a gallery holds of one modality, memory-mapped."""
    segments = LocalStore(index).open().snapshot.segments
    segment = next(each for each in segments if each.modality is modality)
    return PendingRows(segment.vectors, segment.metadata.columns)


def captions() -> list[str]:
    """Flickr8k's captions in a random order that is always the same."""
    images = json.loads((FLICKR8K / "dataset_flickr8k.json").read_text(encoding="utf-8"))["images"]
    texts = sorted({sentence["raw"] for image in images for sentence in image["sentences"]})
    random.Random(0).shuffle(texts)
    return texts


def text_bodies(cache: Path, *, equal: int | None = None) -> Bodies:
    """Searches by distinct texts, more than a hundred thousand; or by only so many, which then are in the cache."""
    file = cache / ("texts.jsonl" if equal is None else f"texts-{equal}.jsonl")
    texts = [text + suffix for suffix in _SUFFIXES for text in captions()] if equal is None else captions()[:equal]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return Bodies(file)


def image_bodies(cache: Path) -> Bodies:
    """Searches by 1,500 distinct JPEGs of 640 x 480 pixels and quality 90, as forms."""
    file = cache / "images.bin"
    if not file.exists():
        with _completed(file) as part, part.open("wb") as out:
            for content in _jpegs():
                body = _form(content)
                out.write(b"%08d" % len(body) + body)
    return Bodies(file, f"multipart/form-data; boundary={_BOUNDARY}", binary=True)


def jpegs(count: int) -> list[bytes]:
    """The first of the same images."""
    return [content for content, _ in zip(_jpegs(), range(count), strict=False)]


def _jpegs() -> Iterator[bytes]:
    paths = sorted((FLICKR8K / "images").iterdir())[:IMAGES]
    for path in paths:
        with Image.open(path) as image:
            buffer = io.BytesIO()
            image.convert("RGB").resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
            yield buffer.getvalue()


def _form(content: bytes) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _embeddings(cache: Path, model_directory: Path) -> tuple[Floats, Floats]:
    file = cache / f"embeddings-{model_directory.name}.npz"
    if not file.exists():
        paths = sorted((FLICKR8K / "images").iterdir())
        with Runtime.load(model_directory) as runtime:
            size = runtime.image_preprocessing.size
            blocks = [
                runtime.encode_images([decode_image(path, at_least=size) for path in paths[start : start + 100]])
                for start in range(0, len(paths), 100)
            ]
            texts = runtime.encode_texts(captions()[:10_000])
        with _completed(file) as part:
            np.savez(part, images=np.concatenate(blocks), texts=texts)
    with np.load(file) as found:
        return found["images"], found["texts"]


@contextmanager
def _completed(file: Path) -> Iterator[Path]:
    """Where to write what becomes the file when the block has ended well."""
    part = file.with_stem(f"{file.stem}-part")
    yield part
    part.replace(file)


def _extended(embeddings: Floats, rows: int) -> Floats:
    rng = np.random.default_rng(0)
    dimension = embeddings.shape[1]
    extended = np.empty((rows, dimension), np.float32)
    for start in range(0, rows, _BLOCK):
        block = embeddings[rng.integers(0, len(embeddings), min(_BLOCK, rows - start))]
        block += rng.standard_normal(block.shape, np.float32) * (NOISE_NORM / dimension**0.5)
        extended[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return extended


def _rows(kind: str, vectors: Floats) -> PendingRows:
    texts = captions()
    numbers = range(len(vectors))
    columns: dict[str, list[Any]] = {
        "id": [f"{kind}_{number:07d}" for number in numbers],
        "image_id": [f"image_{number if kind == 'image' else number // 5:07d}" for number in numbers],
        "uri": [f"{number // 1000:04d}/{number:07d}.jpg" for number in numbers],
        "caption": [texts[number % len(texts)] for number in numbers],
        "payload": [json.dumps({"year": 2000 + number % 20, "camera": f"c{number % 50}"}) for number in numbers],
        "fingerprint": [None] * len(vectors),
        "description": [None] * len(vectors),
    }
    return PendingRows(vectors, pa.table(columns, schema=SCHEMA))
