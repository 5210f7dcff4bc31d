"""Rows of small indexes with random embeddings, for tests that need no model."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.items import Modality, image_item_id, text_item_id
from index.manifest import IndexedModel
from index.metadata import SCHEMA
from index.pending import PendingRows, PendingVersion
from index.rejects import Reject

DIMENSION = 8


def unit_rows(rows: int, *, dimension: int = DIMENSION, seed: int = 0) -> NDArray[np.float32]:
    """Random rows of length 1 [N, D]."""
    values = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    unit: NDArray[np.float32] = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit


def image_rows(uris: Sequence[str], *, seed: int = 0, payloads: Sequence[dict[str, Any]] | None = None) -> PendingRows:
    """Image rows with random embeddings, named by their uris."""
    ids = [image_item_id(uri) for uri in uris]
    lines = [
        {
            "id": item_id,
            "image_id": item_id,
            "uri": uri,
            "caption": None,
            "payload": json.dumps(payload),
            "fingerprint": hashlib.sha256(uri.encode()).digest(),
            "description": None,
        }
        for item_id, uri, payload in zip(ids, uris, payloads or [{"split": "val"}] * len(uris), strict=True)
    ]
    return PendingRows(unit_rows(len(uris), seed=seed), pa.Table.from_pylist(lines, schema=SCHEMA))


def text_rows(uris: Sequence[str], *, seed: int = 1) -> PendingRows:
    """One caption for each image."""
    lines = [
        {
            "id": text_item_id(uri, f"caption of {uri}", 0),
            "image_id": image_item_id(uri),
            "uri": uri,
            "caption": f"caption of {uri}",
            "payload": "{}",
            "fingerprint": None,
            "description": None,
        }
        for uri in uris
    ]
    return PendingRows(unit_rows(len(uris), seed=seed), pa.Table.from_pylist(lines, schema=SCHEMA))


def uris_of(images: int, start: int = 0) -> list[str]:
    """Names of images, p000.jpg and so on."""
    return [f"p{row:03d}.jpg" for row in range(start, start + images)]


def pending_version(root: Path, *, images: int = 12, texts: int = 7, seed: int = 0) -> PendingVersion:
    """Images p000.jpg and so on, the first `texts` of them with a caption."""
    uris = uris_of(images)
    return PendingVersion(
        model=IndexedModel(
            model_id="0123456789abcdef", name="tiny", dimension=DIMENSION, directory=str(root / "model")
        ),
        images_root=root / "images",
        rows={
            Modality.IMAGE: image_rows(uris, seed=seed),
            Modality.TEXT: text_rows(uris[:texts], seed=seed + 1),
        },
        rejects=[Reject("bad.jpg", "unreadable_image", "it is empty")],
        left_out=2,
    )
