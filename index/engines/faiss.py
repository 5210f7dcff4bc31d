"""FAISS: a flat index up to 100,000 rows, an HNSW graph above, on a GPU where the installed faiss has one."""

import threading
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from index.engines import Embeddings, Rows
from model.cores import usable_cores
from model.errors import ArtifactCorrupt

FLAT = "flat-ip"
HNSW = "hnsw-ip"
FLAT_MAX_ROWS = 100_000

_LINKS = 32
_CONSTRUCTION_BREADTH = 200
_MIN_SEARCH_BREADTH = 128
# A graph search for more than this share of the rows costs more than comparing with all of them.
_SCAN_SHARE = 0.05
# faiss's GPU indexes select at most this many neighbours.
_GPU_MAX_K = 2048
_CLASSES = {FLAT: faiss.IndexFlat, HNSW: faiss.IndexHNSWFlat}


class FaissEngine:
    """Inner-product search over L2-normalised rows [N, D].

    A search uses one thread: concurrency comes from the callers, and faiss would otherwise start one thread per core
    for each of them. The rows stay in main memory for `vectors`, also when the searches run on a GPU.
    """

    def __init__(self, index: Any, kind: str) -> None:
        self.kind = kind
        self._index = index
        self._rows = index if kind == FLAT else faiss.downcast_index(index.storage)
        self._gpu_index = _on_gpu(index) if kind == FLAT else None
        self._gpu_lock = threading.Lock()

    @classmethod
    def build(cls, embeddings: Embeddings) -> "FaissEngine":
        """Index embeddings [N, D], N ≥ 1; row n of the index is row n of the array."""
        rows, dimension = embeddings.shape
        kind = FLAT if rows <= FLAT_MAX_ROWS else HNSW
        index = _empty(kind, dimension)
        faiss.omp_set_num_threads(usable_cores())
        index.add(np.ascontiguousarray(embeddings, np.float32))
        return cls(index, kind)

    @classmethod
    def read(cls, path: Path, kind: str) -> "FaissEngine":
        """Read an index of the given kind; raises ArtifactCorrupt for anything else.

        faiss trusts what it reads: compare size and hash with the manifest first.
        """
        try:
            index = faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as error:
            raise ArtifactCorrupt(f"{path} cannot be read by faiss; rebuild the index") from error
        if not isinstance(index, _CLASSES[kind]) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise ArtifactCorrupt(f"{path} holds a {type(index).__name__}, not a {kind} index; rebuild the index")
        return cls(index, kind)

    @property
    def exact(self) -> bool:
        return self.kind == FLAT

    @property
    def size(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    def search(self, queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        # The number of OpenMP threads belongs to the calling thread, so that no setting made elsewhere holds here.
        faiss.omp_set_num_threads(1)
        scores: Embeddings
        rows: Rows
        if self._gpu_index is not None and k <= _GPU_MAX_K:
            # One at a time: the temporary memory of a GPU's resources is not safe under threads.
            with self._gpu_lock:
                scores, rows = self._gpu_index.search(queries, k)
        elif self.exact or k > _SCAN_SHARE * self.size:
            scores, rows = self._rows.search(queries, k)
        else:
            breadth = faiss.SearchParametersHNSW(efSearch=max(_MIN_SEARCH_BREADTH, 2 * k))
            scores, rows = self._index.search(queries, k, params=breadth)
        return scores, rows

    def vectors(self, rows: Rows) -> Embeddings:
        vectors: Embeddings = self._rows.reconstruct_batch(rows)
        return vectors

    def write(self, path: Path) -> None:
        """Write the index to a file; raises OSError where the disk does not take it."""
        try:
            faiss.write_index(self._index, str(path))
        except RuntimeError as error:
            raise OSError(f"faiss cannot write {path}") from error


def _empty(kind: str, dimension: int) -> Any:
    if kind == FLAT:
        return faiss.IndexFlatIP(dimension)
    graph = faiss.IndexHNSWFlat(dimension, _LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _CONSTRUCTION_BREADTH
    return graph


def _on_gpu(index: Any) -> Any | None:
    if faiss.get_num_gpus() == 0:
        return None
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
