"""Drafts of small indexes with random embeddings, for tests that need no model."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.draft import Draft
from index.gallery import Gallery
from index.items import Item, Modality, image_item_id, text_item_id
from index.manifest import IndexedModel
from index.publish import publish, rebuild_lock
from index.rejects import Reject
from index.search import LoadedIndex
from index.store import load_index

DIMENSION = 8


def unit_rows(rows: int, *, dimension: int = DIMENSION, seed: int = 0) -> NDArray[np.float32]:
    """Random rows of length 1 [N, D]."""
    values = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    unit: NDArray[np.float32] = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit


def image_item(uri: str, caption: str | None = None) -> Item:
    return Item(image_item_id(uri), Modality.IMAGE, uri, caption, {"split": "val"})


def text_item(uri: str, caption: str, ordinal: int = 0) -> Item:
    return Item(text_item_id(uri, caption, ordinal), Modality.TEXT, uri, caption)


def make_draft(root: Path, *, images: int = 12, texts: int = 7, seed: int = 0) -> Draft:
    """A draft whose pictures are p000.jpg and so on, the first `texts` of them with a caption."""
    uris = [f"p{row:03d}.jpg" for row in range(images)]
    return Draft(
        model=IndexedModel(
            model_id="0123456789abcdef", name="tiny", dimension=DIMENSION, directory=str(root / "model")
        ),
        images_root=root / "images",
        gallery=Gallery(
            tuple(image_item(uri) for uri in uris), tuple(text_item(uri, f"caption of {uri}") for uri in uris[:texts])
        ),
        embeddings={Modality.IMAGE: unit_rows(images, seed=seed), Modality.TEXT: unit_rows(texts, seed=seed + 1)},
        rejects=[Reject("bad.jpg", "unreadable_image", "it is empty")],
        left_out=2,
    )


def publish_draft(directory: Path, draft: Draft) -> LoadedIndex:
    """Publish under the lock, as a rebuild does, and load what readers then see."""
    with rebuild_lock(directory):
        publish(directory, draft)
    return load_index(directory)
