"""A navigable graph over the rows (HNSW): the fastest searches, the slowest build, and the most memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import faiss

_LINKS = 16
_CONSTRUCTION_BREADTH = 100
_LINK_BYTES = 4
_LINKS_PER_ROW = 2.13  # of _LINKS: 2 on the lowest level, and 1 on each higher one, which one row in _LINKS reaches
_OFFSET_AND_LEVEL_BYTES = 12
_MAX_BREADTH = 1 << 12
_SAMPLE_ROWS = 1 << 16


class Hnsw:
    """The graph over float32 rows or over rows of one byte a dimension.

    Several threads link rows in the order in which they come: only a build on one thread is the same every time.
    """

    least_rows = 1

    def __init__(self, *, scalar: bool) -> None:
        self._scalar = scalar

    @property
    def name(self) -> str:
        return "hnsw-sq8" if self._scalar else "hnsw"

    def bytes_per_vector(self, rows: int, dimension: int) -> float:  # noqa: ARG002
        row = dimension if self._scalar else 4 * dimension
        return row + _LINKS * _LINKS_PER_ROW * _LINK_BYTES + _OFFSET_AND_LEVEL_BYTES

    def build_parameters(self, rows: int, dimension: int) -> dict[str, int]:  # noqa: ARG002
        return {"M": _LINKS, "efConstruction": _CONSTRUCTION_BREADTH}

    def empty(self, dimension: int, parameters: Mapping[str, int], *, seed: int = 0) -> Any:
        metric, links = faiss.METRIC_INNER_PRODUCT, parameters["M"]
        if self._scalar:
            graph = faiss.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_8bit, links, metric)
        else:
            graph = faiss.IndexHNSWFlat(dimension, links, metric)
        graph.hnsw.efConstruction = parameters["efConstruction"]
        graph.hnsw.rng = faiss.RandomGenerator(seed)
        return graph

    def sample_rows(self, parameters: Mapping[str, int]) -> int:  # noqa: ARG002
        return _SAMPLE_ROWS

    def ranges(self, index: Any) -> dict[str, range]:  # noqa: ARG002
        return {"efSearch": range(1, _MAX_BREADTH + 1)}

    def faiss_parameters(self, values: Mapping[str, int], allowed: Any | None) -> Any:
        return faiss.SearchParametersHNSW(efSearch=values["efSearch"], sel=allowed)

    def for_depth(self, defaults: Mapping[str, int], k: int, index: Any) -> dict[str, int]:  # noqa: ARG002
        return {"efSearch": min(max(defaults.get("efSearch", _CONSTRUCTION_BREADTH), k), _MAX_BREADTH)}

    def ladder(self, index: Any) -> Sequence[dict[str, int]]:  # noqa: ARG002
        steps = sorted({round(2 ** (half / 2)) for half in range(6, 2 * _MAX_BREADTH.bit_length() - 1)})
        return [{"efSearch": breadth} for breadth in steps]

    def facts(self, index: Any) -> dict[str, object]:
        storage = faiss.downcast_index(index.storage)
        stored = faiss.IndexFlat if isinstance(storage, faiss.IndexFlat) else type(storage)
        return {
            "class": [type(index).__name__, stored.__name__],
            "metric": [index.metric_type, storage.metric_type],
            "dimension": [index.d, storage.d],
            "code bytes": storage.code_size,
            "M": [index.hnsw.nb_neighbors(0), index.hnsw.nb_neighbors(1)],
            "efConstruction": index.hnsw.efConstruction,
        }

    def row_counts(self, index: Any) -> list[int]:
        return [index.ntotal, faiss.downcast_index(index.storage).ntotal, index.hnsw.levels.size()]
