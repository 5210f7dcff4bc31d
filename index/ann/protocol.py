"""What a segment needs of a nearest-neighbour index over its rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.items import Embeddings, Rows

Allowed = NDArray[np.bool_]  # [N]: which rows may be found
SearchParams = Mapping[str, int]  # such as {"nprobe": 16}, {"efSearch": 128}; unknown names are refused


class AnnIndex(Protocol):
    """A nearest-neighbour index; `search` may be called from many threads at once, with other parameters each.

    Scores may be approximate: the segment scores the candidates again by their exact vectors (`exact.rerank`).
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
        """Inner products [Q, k], falling, and rows [Q, k] of the best allowed rows; row -1, score -inf where none is.

        Never a row that is not allowed. An index that is not `exact` may find fewer rows than exist, above all where
        few are allowed: the caller sees the -1 and compares with all of them (`exact.exact_scan`).
        Raises InvalidInput for a parameter that this kind does not have or a value out of its range.
        """

    def write(self, path: Path) -> None:
        """Write the index to a file; raises OSError. A flat index needs no file and writes none."""

    def close(self) -> None:
        """Stop the thread and free the memory that the index owns on a GPU; a later search raises RuntimeError."""
