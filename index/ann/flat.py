"""Exact search: every query is compared with every allowed row of the array that holds the vectors."""

from pathlib import Path

import numpy as np

from index.ann.exact import scan
from index.ann.protocol import Allowed, SearchParams
from index.ann.specs import FLAT
from index.items import Embeddings, Rows
from model.errors import InvalidInput


class FlatIndex:
    """Rows [N, D] where they lie, also memory-mapped: nothing is copied and no file is written."""

    kind = FLAT
    exact = True

    def __init__(self, vectors: Embeddings) -> None:
        if vectors.ndim != 2 or vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
            raise ValueError(f"vectors of shape {list(vectors.shape)} and type {vectors.dtype} are not float32 rows")
        self._vectors = vectors

    @property
    def size(self) -> int:
        return len(self._vectors)

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    def search(
        self, queries: Embeddings, k: int, *, allowed: Allowed | None = None, params: SearchParams | None = None
    ) -> tuple[Embeddings, Rows]:
        if params:
            raise InvalidInput(f"an index of kind {FLAT} has no search parameters, got {', '.join(sorted(params))}")
        return scan(self._vectors, queries, k, allowed=allowed)

    def write(self, path: Path) -> None:
        """Nothing: the vectors are the index."""

    def close(self) -> None:
        """Nothing: the array belongs to the caller."""
