"""The kinds of approximate index by their names in the manifest."""

from collections.abc import Mapping
from types import MappingProxyType

from index.ann.faiss_index import FaissKind
from index.ann.hnsw import Hnsw
from index.ann.ivf import ProductLists, ScalarLists
from index.ann.rabitq import RabitqLists

_ALL: tuple[FaissKind, ...] = (RabitqLists(), ScalarLists(), ProductLists(), Hnsw(scalar=True), Hnsw(scalar=False))
KINDS: Mapping[str, FaissKind] = MappingProxyType({kind.name: kind for kind in _ALL})

# Tried in this order where no kind was asked for. Graphs are not: beside inverted lists they take many times
# the memory and the build, and search hardly faster once the candidates are scored again (docs/benchmarks.md).
AUTOMATIC = ("rabitq", "ivf-sq8", "ivf-pq")
