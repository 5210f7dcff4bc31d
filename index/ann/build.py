"""The index of a segment: its kind by rows, dimension and memory, built in blocks, its search tuned to a recall."""

import logging
from collections.abc import Mapping

import faiss
import numpy as np

from index.ann.faiss_index import FaissIndex, FaissKind
from index.ann.flat import FlatIndex
from index.ann.kinds import AUTOMATIC, KINDS
from index.ann.protocol import AnnIndex
from index.ann.specs import FLAT, AnnSpec
from index.ann.tuning import Trial, make_trial, time_flat, tune
from index.items import Embeddings
from model.cores import usable_cores
from model.errors import ConfigError

log = logging.getLogger(__name__)

# Comparing with so many bytes takes about 3 ms of one thread: less would hardly be felt, and no file, no training and
# nothing to tune are worth more.
FLAT_MAX_BYTES = 64 << 20
_BLOCK_ROWS = 1 << 16
_MAX_SAMPLE_BYTES = 1 << 30


def build_ann(
    vectors: Embeddings,
    *,
    queries: Embeddings | None = None,
    memory_share: float | None = None,
    recall: float = 0.95,
    kind: str | None = None,
    threads: int | None = None,
    seed: int = 0,
) -> tuple[AnnIndex, AnnSpec]:
    """Index L2-normalised vectors [N, D], N ≥ 1, in memory or memory-mapped; row n of the index is row n of the array.

    `queries` [Q, D] are real ones, by which the search is tuned; without them, vectors with noise stand in.
    `memory_share` is the most resident memory as a share of the float32 vectors'; it does not hold for the few rows
    that are searched without an index. `recall` is the least share of the true 10 best that a search finds after exact
    re-ranking; if nothing reaches it, the index that comes nearest is returned, with a warning. `kind` names the kind
    of index, or None chooses it. `threads` build, all usable cores by default. The same seed and number of threads
    build the same file, a graph only on one thread; which search parameters are cheapest is measured each time.

    Raises ConfigError for an unknown kind, too few rows for it, a recall or share out of range, and a share that no
    kind keeps to.
    """
    _check(vectors, recall, memory_share)
    names = _names_to_try(vectors, memory_share, recall, kind)
    if names == (FLAT,):
        return _flat(vectors)
    trial = make_trial(vectors, queries, seed=seed)
    tried: list[tuple[AnnIndex, AnnSpec]] = []
    for name in names:
        tried.append(_built(KINDS[name], vectors, trial, recall, threads or usable_cores(), seed))
        if tried[-1][1].recall_at_10 >= recall:
            return tried[-1]
    best = max(tried, key=lambda built: built[1].recall_at_10)
    log.warning("recall@10 is %.3f, not %.3f, with the best index, %s", best[1].recall_at_10, recall, best[1].kind)
    return best


def _check(vectors: Embeddings, recall: float, memory_share: float | None) -> None:
    if not 0 < recall <= 1:
        raise ConfigError(f"recall is {recall}; it must be over 0 and at most 1")
    if memory_share is not None and not memory_share > 0:
        raise ConfigError(f"the share of memory is {memory_share}; it must be over 0")
    if vectors.ndim != 2 or not vectors.size or vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
        raise ValueError(f"vectors of shape {list(vectors.shape)} and type {vectors.dtype} are not float32 rows")


def _names_to_try(vectors: Embeddings, memory_share: float | None, recall: float, kind: str | None) -> tuple[str, ...]:
    if kind is not None:
        if kind != FLAT and kind not in KINDS:
            raise ConfigError(f"there is no kind of index {kind!r}; choose one of {', '.join([FLAT, *KINDS])}")
        if kind != FLAT and len(vectors) < (least := KINDS[kind].least_rows):
            raise ConfigError(f"an index of kind {kind} needs {least} rows, there are {len(vectors)}; choose {FLAT}")
        return (kind,)
    if vectors.nbytes <= FLAT_MAX_BYTES or (recall == 1 and memory_share is None):
        return (FLAT,)
    shares = {name: KINDS[name].bytes_per_vector(*vectors.shape) / (4 * vectors.shape[1]) for name in AUTOMATIC}
    fitting = tuple(name for name in AUTOMATIC if memory_share is None or shares[name] <= memory_share)
    if not fitting:
        smallest = min(shares, key=lambda name: shares[name])
        raise ConfigError(
            f"no index keeps to {memory_share:.1%} of the vectors' memory; {smallest} needs {shares[smallest]:.1%}"
        )
    return fitting


def _flat(vectors: Embeddings) -> tuple[AnnIndex, AnnSpec]:
    rows, dimension = vectors.shape
    return FlatIndex(vectors), AnnSpec(
        kind=FLAT,
        rows=rows,
        dimension=dimension,
        recall_at_10=1.0,
        ms_per_query=_rounded(time_flat(vectors)),
        bytes_per_vector=4 * dimension,
    )


def _built(
    kind: FaissKind, vectors: Embeddings, trial: Trial, recall: float, threads: int, seed: int
) -> tuple[AnnIndex, AnnSpec]:
    rows, dimension = vectors.shape
    parameters = kind.build_parameters(rows, dimension)
    built = fill(kind, vectors, parameters, threads=threads, seed=seed)
    setting = tune(FaissIndex(kind, built, {}), trial, recall)
    spec = AnnSpec(
        kind=kind.name,
        rows=rows,
        dimension=dimension,
        build=parameters,
        search=dict(setting.search),
        rerank=setting.rerank,
        recall_at_10=setting.recall,
        ms_per_query=_rounded(setting.ms),
        bytes_per_vector=_rounded(kind.bytes_per_vector(rows, dimension)),
    )
    return FaissIndex(kind, built, spec.search), spec


def fill(kind: FaissKind, vectors: Embeddings, parameters: Mapping[str, int], *, threads: int, seed: int) -> object:
    """An index of faiss, trained on a sample of the vectors and filled with all of them, a block at a time."""
    index = kind.empty(vectors.shape[1], parameters, seed=seed)
    sample = _sample(vectors, kind.sample_rows(parameters), seed)
    faiss.omp_set_num_threads(threads)
    index.train(sample)
    del sample
    for start in range(0, len(vectors), _BLOCK_ROWS):
        index.add(vectors[start : start + _BLOCK_ROWS])
    return index


def _sample(vectors: Embeddings, wanted: int, seed: int) -> Embeddings:
    most = max(1, min(wanted, len(vectors), _MAX_SAMPLE_BYTES // vectors[0].nbytes))
    if most == len(vectors):
        return vectors
    chosen = np.random.default_rng(seed).choice(len(vectors), most, replace=False)
    sample: Embeddings = vectors[np.sort(chosen)]
    return sample


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
