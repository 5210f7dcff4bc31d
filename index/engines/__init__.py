"""Search engines: exact or approximate inner-product search over the rows of one modality."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]
Rows = NDArray[np.int64]


class Engine(Protocol):
    """What the index needs of a search engine; `search` may be called from many threads at once."""

    @property
    def kind(self) -> str:
        """Name of the kind of index, as the manifest keeps it."""

    @property
    def exact(self) -> bool:
        """Whether `search` compares the queries with every row."""

    @property
    def size(self) -> int:
        """Number of rows."""

    @property
    def dimension(self) -> int:
        """D of the rows and queries."""

    def search(self, queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        """Inner products [Q, k], falling, and rows [Q, k] of the best rows for queries [Q, D]; row -1 where none is."""

    def vectors(self, rows: Rows) -> Embeddings:
        """The embeddings [n, D] of rows [n], as they were added."""

    def write(self, path: Path) -> None:
        """Write the index to a file; raises OSError."""
