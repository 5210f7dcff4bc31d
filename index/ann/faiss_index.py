"""An approximate index of faiss behind `AnnIndex`; the kinds differ in how they are built, read and parametrised."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import faiss

from index.ann.exact import checked_queries, marked, nothing_found, selector
from index.ann.protocol import Allowed, SearchParams
from index.items import Embeddings, Rows
from model.errors import InvalidInput


class FaissKind(Protocol):
    """One kind of index: everything that is different between them."""

    @property
    def name(self) -> str:
        """As the manifest keeps it."""

    @property
    def least_rows(self) -> int:
        """How many rows it takes to train one."""

    def bytes_per_vector(self, rows: int, dimension: int) -> float:
        """Resident memory a row, with what all rows share divided between them."""

    def build_parameters(self, rows: int, dimension: int) -> dict[str, int]:
        """What an index of so many rows is built with."""

    def empty(self, dimension: int, parameters: Mapping[str, int], *, seed: int = 0) -> Any:
        """An untrained index of faiss without rows; the seed is that of all that training draws."""

    def sample_rows(self, parameters: Mapping[str, int]) -> int:
        """How many rows it is trained on."""

    def ranges(self, index: Any) -> dict[str, range]:
        """The search parameters of the kind and the values that each may have."""

    def faiss_parameters(self, values: Mapping[str, int], allowed: Any | None) -> Any:
        """faiss's own object for one call: nothing that other calls see is changed."""

    def for_depth(self, defaults: Mapping[str, int], k: int, index: Any) -> dict[str, int]:
        """The defaults, raised where too few rows would be met to find k."""

    def ladder(self, index: Any) -> Sequence[dict[str, int]]:
        """Search parameters from the cheapest to the most thorough, to be tried in tuning."""

    def facts(self, index: Any) -> dict[str, object]:
        """Classes, metric, sizes and parameters, without the number of rows: equal for all that were built alike.

        Raises AttributeError or TypeError for an index of faiss that is of another class.
        """

    def row_counts(self, index: Any) -> list[int]:
        """The numbers of rows that the parts of a sound index have: all are N."""


class FaissIndex:
    """An index of faiss with the search parameters that hold where a call names none."""

    exact = False

    def __init__(self, kind: FaissKind, index: Any, defaults: Mapping[str, int]) -> None:
        self._kind = kind
        self._index = index
        self._ranges = kind.ranges(index)
        self._defaults = self._checked(defaults)

    @property
    def kind(self) -> str:
        return self._kind.name

    @property
    def size(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    def search(
        self, queries: Embeddings, k: int, *, allowed: Allowed | None = None, params: SearchParams | None = None
    ) -> tuple[Embeddings, Rows]:
        queries = checked_queries(queries, dimension=self.dimension)
        scores, rows = nothing_found(len(queries), k)
        width = min(k, self.size)
        values = self._kind.for_depth(self._defaults, width, self._index) | self._checked(params or {})
        selection = None if allowed is None else selector(allowed, self.size)
        # The number of OpenMP threads belongs to the calling thread: concurrency comes from the callers.
        faiss.omp_set_num_threads(1)
        if len(queries):
            parameters = self._kind.faiss_parameters(values, selection)
            found = self._index.search(queries, width, params=parameters)
            scores[:, :width], rows[:, :width] = marked(*found)
        return scores, rows

    def write(self, path: Path) -> None:
        """Write the index to a file; raises OSError where the disk does not take it."""
        try:
            faiss.write_index(self._index, str(path))
        except RuntimeError as error:
            raise OSError(f"faiss cannot write {path}: {error}") from error

    def close(self) -> None:
        """Nothing: main memory is freed with the last reference."""

    @property
    def faiss_index(self) -> Any:
        """What faiss holds, for a copy on a GPU."""
        return self._index

    @property
    def ladder(self) -> Sequence[dict[str, int]]:
        return self._kind.ladder(self._index)

    def _checked(self, params: SearchParams) -> dict[str, int]:
        for name, value in params.items():
            known = self._ranges.get(name)
            if known is None:
                raise InvalidInput(
                    f"an index of kind {self.kind} has no search parameter {name!r}; it has {', '.join(self._ranges)}"
                )
            if value not in known:
                raise InvalidInput(f"{name} is {value}; it must be {known.start} to {known.stop - 1}")
        return dict(params)
