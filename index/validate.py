"""Does a new index answer as it should? Asked before it is published."""

from collections.abc import Mapping

import numpy as np

from index.engines import Embeddings
from index.engines.faiss import FLAT, HNSW
from index.items import Modality
from index.search import LoadedIndex
from model.errors import ArtifactCorrupt

_SAMPLES = 64
_TOLERANCE = 1e-4
# An HNSW graph may lose a row now and then; a flat index may not.
_FOUND_SHARE = {FLAT: 1.0, HNSW: 0.9}


def validate(index: LoadedIndex, embeddings: Mapping[Modality, Embeddings]) -> None:
    """Compare rows spread over the index with the embeddings [N, D] that went in, and search for each of them.

    Raises ArtifactCorrupt where a row came back differently, is not of length 1, or does not find itself (or a row
    equal to it) first.
    """
    for modality, rows in embeddings.items():
        if len(rows):
            _validate_rows(index, modality, rows)


def _validate_rows(index: LoadedIndex, modality: Modality, embeddings: Embeddings) -> None:
    lengths = np.linalg.norm(embeddings, axis=1)
    farthest = float(np.abs(lengths - 1).max())
    if not farthest <= _TOLERANCE:  # Not a number is not within it either.
        raise ArtifactCorrupt(
            f"the model {index.manifest.model.name} gives {modality} embeddings whose length is off 1 by "
            f"{farthest:.2g}; export it again"
        )
    sample = np.unique(np.linspace(0, len(embeddings) - 1, _SAMPLES).astype(np.int64))
    items = [index.gallery.of(modality)[row] for row in sample]
    stored = np.stack([index.embedding_of(item.id) for item in items])
    if not np.array_equal(stored, embeddings[sample]):
        raise ArtifactCorrupt(f"the new {modality} index gives back other embeddings than it was given; rebuild it")
    best = [hits[0].item.id for hits in index.search(stored, modality, limit=1)]
    products = [own @ index.embedding_of(other) for own, other in zip(stored, best, strict=True)]
    found = np.mean(np.array(products) > 1 - _TOLERANCE)
    if found < _FOUND_SHARE[index.manifest.engines[modality]]:
        raise ArtifactCorrupt(f"in the new {modality} index only {found:.0%} of the rows find themselves; rebuild it")
