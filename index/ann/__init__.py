"""Nearest-neighbour search over the rows of one segment: rows and vectors, nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.items import Embeddings, Rows

Allowed = NDArray[np.bool_]  # [N]: which rows may be found
SearchParams = Mapping[str, int]  # such as {"nprobe": 16}, {"efSearch": 128}; unknown names are refused


class AnnIndex(Protocol):
    """What a segment needs of a nearest-neighbour index; `search` may be called from many threads at once.

    Scores may be approximate: the segment scores the candidates again by their exact vectors.
    """

    @property
    def kind(self) -> str:
        """Name of the kind of index, as the segment's manifest keeps it, such as "flat" or "ivf-sq8"."""

    @property
    def exact(self) -> bool:
        """Whether `search` compares the queries with every allowed row, in float32."""

    @property
    def size(self) -> int:
        """Number of rows N."""

    @property
    def dimension(self) -> int:
        """D of the rows and queries."""

    def search(
        self, queries: Embeddings, k: int, *, allowed: Allowed | None = None, params: SearchParams | None = None
    ) -> tuple[Embeddings, Rows]:
        """Inner products [Q, k], falling, and rows [Q, k] of the best allowed rows; row -1 where there is none.

        Raises InvalidInput for a parameter that this kind does not have.
        """

    def write(self, path: Path) -> None:
        """Write the index to a file; raises OSError."""
