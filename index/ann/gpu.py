"""Exact search on a GPU: the rows lie in its memory, and one thread asks it, many queries at a time."""

import ctypes
import functools
import logging
from pathlib import Path
from typing import Any

import faiss

from index.ann.batching import BatchingOwner
from index.ann.exact import checked_queries, marked, nothing_found
from index.ann.protocol import Allowed, AnnIndex, SearchParams
from index.items import Embeddings, Rows

log = logging.getLogger(__name__)

DEVICE = 0
MAX_K = 2048  # faiss selects no more on a GPU
# Fewer bytes are compared on the CPU in less time than a GPU's answer takes to come back.
MIN_BYTES = 16 << 20
TEMPORARY_BYTES = 256 << 20
_USABLE_SHARE = 0.9  # of the free memory; the rest is for the driver and for others that start meanwhile
_CUDA_RUNTIMES = ("libcudart.so.12", "libcudart.so.13")


def on_gpu(index: AnnIndex, vectors: Embeddings) -> AnnIndex:
    """The same rows searched exactly on the first GPU; the index itself, and a warning, where that cannot be.

    Whatever the kind of the index: comparing with every row is what a GPU does best. Without a warning where it is not
    wanted: with few rows, or with a faiss for the CPU alone.
    """
    if vectors.nbytes < MIN_BYTES or not hasattr(faiss, "StandardGpuResources"):
        return index
    if faiss.get_num_gpus() == 0:
        _warn_once("faiss-gpu finds no CUDA device; the index is searched on the CPU")
        return index
    needed, free = vectors.nbytes + TEMPORARY_BYTES, free_memory()
    if free is None or needed > _USABLE_SHARE * free:
        said = "unknown" if free is None else f"{free >> 20} MiB"
        _warn_once(f"{needed >> 20} MiB for an index on the GPU, free are {said}; it is searched on the CPU")
        return index
    try:
        return GpuIndex(index, vectors)
    except RuntimeError as error:
        _warn_once(f"faiss cannot place an index on the GPU ({error}); it is searched on the CPU")
        return index


class GpuIndex:
    """Rows on a GPU, and the index on the CPU for what the GPU does not do: filters, parameters, very many results."""

    exact = True

    def __init__(self, on_cpu: AnnIndex, vectors: Embeddings) -> None:
        """Copy the rows [N, D] to the GPU; raises RuntimeError where that fails."""
        self._cpu = on_cpu
        self._resources = faiss.StandardGpuResources()
        self._resources.setTempMemory(TEMPORARY_BYTES)
        settings = faiss.GpuIndexFlatConfig()
        settings.device = DEVICE
        self._gpu: Any = faiss.GpuIndexFlatIP(self._resources, vectors.shape[1], settings)
        self._gpu.add(vectors)  # at once: every further call would allocate the whole anew
        self._failed = False
        self._owner = BatchingOwner(self._search_gpu, f"gpu-{on_cpu.kind}")

    @property
    def kind(self) -> str:
        return self._cpu.kind

    @property
    def size(self) -> int:
        return self._cpu.size

    @property
    def dimension(self) -> int:
        return self._cpu.dimension

    def search(
        self, queries: Embeddings, k: int, *, allowed: Allowed | None = None, params: SearchParams | None = None
    ) -> tuple[Embeddings, Rows]:
        queries = checked_queries(queries, dimension=self.dimension)
        scores, rows = nothing_found(len(queries), k)
        width = min(k, self.size)
        if self._failed or allowed is not None or params or width > MAX_K or not len(queries):
            return self._cpu.search(queries, k, allowed=allowed, params=params)
        try:
            scores[:, :width], rows[:, :width] = self._owner.search(queries, width)
        except GpuFailure as error:
            self._failed = True
            _warn_once(f"the GPU failed ({error}); the index is searched on the CPU from now on")
            return self._cpu.search(queries, k)
        return scores, rows

    def write(self, path: Path) -> None:
        self._cpu.write(path)

    def close(self) -> None:
        self._owner.close()
        self._gpu = None
        self._resources = None
        self._cpu.close()

    def _search_gpu(self, queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        try:
            return marked(*self._gpu.search(queries, k))
        except RuntimeError as error:
            raise GpuFailure(str(error)) from error


class GpuFailure(Exception):
    """faiss reports a failure of the GPU; never leaves this module."""


def free_memory() -> int | None:
    """Free bytes of the first GPU that this process sees; None where the CUDA runtime does not say."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    for name in _CUDA_RUNTIMES:
        try:
            # faiss has loaded its own already: the name finds that one, and no path has to be known.
            status = ctypes.CDLL(name).cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
        except (OSError, AttributeError):
            continue
        return free.value if status == 0 else None
    return None


@functools.cache
def _warn_once(message: str) -> None:
    log.warning(message)
