"""Inverted lists around k-means centroids: only the rows of the lists nearest to the query are compared with it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import faiss
import numpy as np

_MAX_LISTS = 1 << 16
_SAMPLE_PER_LIST = 40  # faiss asks for 39 or more for a centroid
_ROUNDS = 10
_CODE_BITS = 8
_SAMPLE_PER_CODEWORD = 64
_ID_BYTES = 8


class InvertedLists(ABC):
    """What all kinds with inverted lists share; a subclass says how a row of a list is coded."""

    name: ClassVar[str]
    rotated: ClassVar[bool] = False
    codewords: ClassVar[int] = 0  # vectors of all D dimensions that the coding needs
    least_rows: ClassVar[int] = 1

    @abstractmethod
    def code_bytes(self, dimension: int) -> int:
        """Bytes of a coded row."""

    @abstractmethod
    def empty_lists(self, quantizer: Any, dimension: int, lists: int) -> Any:
        """An untrained index of faiss with inverted lists."""

    def bytes_per_vector(self, rows: int, dimension: int) -> float:
        vectors = number_of_lists(rows) + self.codewords + (dimension if self.rotated else 0)
        return self.code_bytes(dimension) + _ID_BYTES + 4 * dimension * vectors / rows

    def build_parameters(self, rows: int, dimension: int) -> dict[str, int]:  # noqa: ARG002
        return {"nlist": number_of_lists(rows)}

    def empty(self, dimension: int, parameters: Mapping[str, int], *, seed: int = 0) -> Any:
        lists = self.empty_lists(faiss.IndexFlatIP(dimension), dimension, parameters["nlist"])
        lists.cp.spherical = True
        _set_clustering(lists.cp, seed=seed, sample=_SAMPLE_PER_LIST)
        if not self.rotated:
            return lists
        rotation = faiss.RandomRotationMatrix(dimension, dimension)
        rotation.init(seed + 1)
        return faiss.IndexPreTransform(rotation, lists)

    def sample_rows(self, parameters: Mapping[str, int]) -> int:
        return parameters["nlist"] * _SAMPLE_PER_LIST

    def ranges(self, index: Any) -> dict[str, range]:
        return {"nprobe": range(1, self._lists(index).nlist + 1)}

    def faiss_parameters(self, values: Mapping[str, int], allowed: Any | None) -> Any:
        parameters = self.list_parameters(nprobe=values["nprobe"], sel=allowed)
        return faiss.SearchParametersPreTransform(index_params=parameters) if self.rotated else parameters

    def list_parameters(self, *, nprobe: int, sel: Any | None) -> Any:
        """faiss's parameters of the inverted lists alone."""
        return faiss.SearchParametersIVF(nprobe=nprobe, sel=sel)

    def for_depth(self, defaults: Mapping[str, int], k: int, index: Any) -> dict[str, int]:
        lists = self._lists(index)
        needed = -(-2 * k * lists.nlist // max(lists.ntotal, 1))  # lists of mean length that hold 2 k rows
        return {"nprobe": min(max(defaults.get("nprobe", 1), needed), lists.nlist)}

    def ladder(self, index: Any) -> Sequence[dict[str, int]]:
        most = self._lists(index).nlist
        steps = sorted({min(round(2 ** (half / 2)), most) for half in range(2 * most.bit_length() + 1)})
        return [{"nprobe": nprobe} for nprobe in steps]

    def facts(self, index: Any) -> dict[str, object]:
        lists = self._lists(index)
        quantizer = faiss.downcast_index(lists.quantizer)
        return {
            "class": [type(part).__name__ for part in (index, lists, quantizer)],
            "metric": [part.metric_type for part in (index, lists, quantizer)],
            "dimension": [part.d for part in (index, lists, quantizer)],
            "nlist": [lists.nlist, lists.invlists.nlist],
            "a centroid for each list": lists.ntotal == 0 or quantizer.ntotal == lists.nlist,
            "code bytes": [lists.code_size, lists.invlists.code_size],
            "rotation": _rotation(index) if self.rotated else None,
        }

    def row_counts(self, index: Any) -> list[int]:
        lists = self._lists(index)
        return [index.ntotal, lists.ntotal, lists.invlists.compute_ntotal(), _rows_in_lists(lists)]

    def _lists(self, index: Any) -> Any:
        return faiss.downcast_index(index.index) if self.rotated else index


class ScalarLists(InvertedLists):
    """One byte a dimension, scaled between the smallest and the largest value of the dimension."""

    name = "ivf-sq8"

    def code_bytes(self, dimension: int) -> int:
        return dimension

    def empty_lists(self, quantizer: Any, dimension: int, lists: int) -> Any:
        coding = faiss.ScalarQuantizer.QT_8bit
        return faiss.IndexIVFScalarQuantizer(quantizer, dimension, lists, coding, faiss.METRIC_INNER_PRODUCT, False)


class ProductLists(InvertedLists):
    """One byte for about 8 dimensions: the nearest of 256 codewords, of what is left of the row beside its centroid."""

    name = "ivf-pq"
    rotated = True
    codewords = 1 << _CODE_BITS
    least_rows = codewords

    def code_bytes(self, dimension: int) -> int:
        return next(parts for parts in range(max(dimension // 8, 1), 0, -1) if dimension % parts == 0)

    def empty_lists(self, quantizer: Any, dimension: int, lists: int) -> Any:
        parts = self.code_bytes(dimension)
        index = faiss.IndexIVFPQ(quantizer, dimension, lists, parts, _CODE_BITS, faiss.METRIC_INNER_PRODUCT)
        _set_clustering(index.pq.cp, seed=0, sample=_SAMPLE_PER_CODEWORD)
        return index

    def sample_rows(self, parameters: Mapping[str, int]) -> int:
        return max(super().sample_rows(parameters), _SAMPLE_PER_CODEWORD << _CODE_BITS)


def number_of_lists(rows: int) -> int:
    """About 4 √N, a power of two, and never so many that a list had under 40 rows."""
    wanted = max(1, min(4 * math.isqrt(rows), rows // _SAMPLE_PER_LIST, _MAX_LISTS))
    return 1 << (wanted.bit_length() - 1)


def _set_clustering(settings: Any, *, seed: int, sample: int) -> None:
    settings.seed = seed + 1  # faiss draws 0 from the clock
    settings.niter = _ROUNDS
    settings.min_points_per_centroid = 1  # few rows are meant where there are few, and faiss would print a warning
    settings.max_points_per_centroid = sample


def _rows_in_lists(lists: Any) -> int:
    """How many of the rows 0 to N - 1 stand in a list: N, unless some were overwritten."""
    seen = np.zeros(lists.invlists.compute_ntotal(), bool)
    for number in range(lists.nlist):
        if size := lists.invlists.list_size(number):
            rows = faiss.rev_swig_ptr(lists.invlists.get_ids(number), size)
            seen[rows[(rows >= 0) & (rows < len(seen))]] = True
    return int(seen.sum())


def _rotation(index: Any) -> list[object]:
    steps = [faiss.downcast_VectorTransform(index.chain.at(step)) for step in range(index.chain.size())]
    return [(type(step).__name__, step.d_in, step.d_out, step.A.size(), step.b.size()) for step in steps]
