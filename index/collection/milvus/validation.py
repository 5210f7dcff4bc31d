"""Does a new version answer as it should? Asked before it is published."""

import numpy as np
from numpy.typing import NDArray

from index.collection import SearchOptions
from index.collection.milvus.collection import MilvusCollection
from index.collection.milvus.schema import key_of
from index.items import Modality
from index.pending import PendingRows
from model.errors import ArtifactCorrupt

_SAMPLES = 64
_TOLERANCE = 1e-4
# What a search of a row by its own embedding has to find: all rows of an exact index, nearly all of another.
_FOUND_SHARE = 0.9
_BLOCK = 65_536


def check_lengths(modality: Modality, rows: PendingRows) -> None:
    """Raise ArtifactCorrupt where an embedding is not of length 1; asked before anything is written."""
    for start in range(0, len(rows), _BLOCK):
        lengths = np.linalg.norm(rows.vectors[start : start + _BLOCK], axis=1)
        farthest = float(np.abs(lengths - 1).max())
        if not farthest <= _TOLERANCE:  # Not a number is not within it either.
            raise ArtifactCorrupt(
                f"the model returns {modality} embeddings whose length is off 1 by {farthest:.2g}; export it again"
            )


def validate_count(collection: MilvusCollection, modality: Modality) -> None:
    """Raise ArtifactCorrupt where Milvus holds another number of rows than were written."""
    expected, found = collection.count(modality), collection.stored(modality)
    if found != expected:
        raise ArtifactCorrupt(
            f"Milvus holds {found} {modality} rows of the new version {collection.version}, not {expected}; "
            "nothing was published: see the log of Milvus and try again"
        )


def validate_rows(collection: MilvusCollection, modality: Modality, rows: PendingRows | None) -> None:
    """Compare rows spread over the new ones with what the collection returns, and search for each of them.

    Raises ArtifactCorrupt where an embedding comes back differently, or a row does not find itself (or a row equal to
    it) first.
    """
    if rows is None or not len(rows):
        return
    sample = np.unique(np.linspace(0, len(rows) - 1, _SAMPLES).astype(np.int64))
    keys = [key_of(item_id) for item_id in rows.metadata["id"].take(sample).to_pylist()]
    given: NDArray[np.float32] = np.array(rows.vectors[sample], np.float32)
    stored = {
        row["key"]: row["vector"] for row in collection.rows[modality].found("key", keys, ("pk", "key", "vector"))
    }
    if stored.keys() != set(keys) or not np.array_equal(np.array([stored[key] for key in keys], np.float32), given):
        raise ArtifactCorrupt(f"Milvus returns other {modality} embeddings than it was given; rebuild the index")
    best = collection.search(given, modality, SearchOptions(limit=1))
    share = float(np.mean([bool(hits) and hits[0].score > 1 - _TOLERANCE for hits in best]))
    if share < (1.0 if collection.ordering(modality).complete else _FOUND_SHARE):
        raise ArtifactCorrupt(f"only {share:.0%} of the new {modality} rows find themselves; rebuild the index")
