"""The shards of a finished job as one version to be: written by streaming, and left on disk."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from index.embedding.shards import ShardManifest, ShardStore, metadata_file, vectors_file
from index.items import Embeddings, Modality
from index.metadata import SCHEMA
from index.pending import PendingRows
from index.rejects import Reject

_MERGED = "merged"


def merge(store: ShardStore, shards: Sequence[ShardManifest], dimension: int) -> dict[Modality, PendingRows]:
    """All rows of the shards, in their order, memory-mapped from two files a modality."""
    folder = store.folder / _MERGED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return {modality: _merged(store, shards, folder, modality, dimension) for modality in Modality}


def rejects_of(store: ShardStore, shards: Sequence[ShardManifest]) -> list[Reject]:
    """The rejects of all shards, in their order."""
    return [reject for shard in shards for reject in store.rejects(shard.number)]


def _merged(
    store: ShardStore, shards: Sequence[ShardManifest], folder: Path, modality: Modality, dimension: int
) -> PendingRows:
    vectors, metadata = folder / vectors_file(modality), folder / metadata_file(modality)
    count = sum(shard.rows[modality] for shard in shards)
    with ExitStack() as stack:
        array = stack.enter_context(vectors.open("wb"))
        # `open_memmap` would count every written page as memory of the process.
        np.lib.format.write_array_header_1_0(
            array, {"descr": "<f4", "fortran_order": False, "shape": (count, dimension)}
        )
        file = stack.enter_context(pa.OSFile(str(metadata), "wb"))
        table = stack.enter_context(pa.ipc.new_file(file, SCHEMA))
        for shard in shards:
            if shard.rows[modality]:
                array.write(store.vectors(shard.number, modality).tobytes())
                table.write_table(store.metadata(shard.number, modality))
    return PendingRows(_mapped(vectors, count, dimension), pa.ipc.open_file(pa.memory_map(str(metadata))).read_all())


def _mapped(path: Path, count: int, dimension: int) -> Embeddings:
    if not count:  # Nothing can be mapped.
        return np.empty((0, dimension), np.float32)
    vectors: Embeddings = np.load(path, mmap_mode="r")
    return vectors
