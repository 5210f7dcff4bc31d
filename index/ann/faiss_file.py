"""Files of faiss, read strictly: what was read is compared with what the manifest says."""

import threading
from pathlib import Path
from typing import Any

import faiss

from index.ann.faiss_index import FaissKind
from index.ann.specs import AnnSpec
from model.errors import ArtifactCorrupt, ArtifactMissing

# faiss allocates what a file claims up to a limit. Some of it is computed and not in the file, so that the limit lies
# above the size of the file; it holds for the whole process.
_LIMIT_PER_BYTE = 8
_LIMIT_SLACK_BYTES = 64 << 20
_limit_lock = threading.Lock()


def read_faiss(path: Path, kind: FaissKind, spec: AnnSpec) -> Any:
    """The index of faiss in a file that the spec describes.

    The caller compares the hash first: faiss may not survive the search of a file whose inner references were forged.
    Raises ArtifactMissing without the file, and ArtifactCorrupt for a file that faiss cannot read, that holds another
    kind of index, or that holds one of other rows or parameters.
    """
    index = _read(path)
    try:
        expected = kind.facts(kind.empty(spec.dimension, spec.build))
    except (KeyError, RuntimeError) as error:
        raise ArtifactCorrupt(f"the manifest of {path} has no build parameters of {kind.name}; rebuild it") from error
    try:
        facts, counts = kind.facts(index), kind.row_counts(index)
    except (AttributeError, TypeError) as error:
        name = type(index).__name__
        raise ArtifactCorrupt(f"{path} holds a {name}, not an index of kind {kind.name}; rebuild the index") from error
    _compare(path, expected, facts)
    if set(counts) != {spec.rows}:
        raise ArtifactCorrupt(f"{path} holds {counts} rows, its manifest says {spec.rows}; rebuild the index")
    return index


def _read(path: Path) -> Any:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ArtifactMissing(f"{path} is not there; rebuild the index") from error
    with _limit_lock:
        faiss.set_deserialization_vector_byte_limit(_LIMIT_PER_BYTE * size + _LIMIT_SLACK_BYTES)
        try:
            return faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as error:
            raise ArtifactCorrupt(f"{path} cannot be read by faiss; rebuild the index") from error


def _compare(path: Path, expected: dict[str, object], facts: dict[str, object]) -> None:
    for name, wanted in expected.items():
        if facts[name] != wanted:
            raise ArtifactCorrupt(f"{path} has {name} {facts[name]}, its manifest says {wanted}; rebuild the index")
