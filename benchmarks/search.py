"""Claim: at a million rows of 384, recall@10 ≥ 0.95 in ≤ 3 ms on one thread, in ≤ 30 % of the memory of float32.

    python benchmarks/search.py --rows 10000 --rows 100000 --rows 1000000 --json search.json

Kinds of index are built and tuned on one half of the queries, captions that are not rows (`search_data.py`), and
measured on the other half, through the search of a segment: candidates, then exact scores from a memory-mapped file.
Times are of one thread, the median of single queries; `ratio` is that to comparing with every row in the same run,
since machines differ and are shared. `memory_share` is the resident memory of the index as a share of the float32
vectors: bytes of its file, which holds what is in memory, and the vectors where they are scanned. hnswlib is beside it.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from search_data import load

from index.ann import FLAT, AnnIndex, build_ann
from index.ann.exact import scan
from index.ann.kinds import AUTOMATIC
from index.items import Embeddings, Rows
from index.reranking import best_candidates
from model.cores import usable_cores

KINDS = (FLAT, "rabitq", "ivf-sq8", "ivf-pq", "hnsw-sq8", "hnsw")
HNSWLIB = "hnswlib"
K = 10
RECALL = 0.95
MEASURED_QUERIES = 300
FLAT_QUERIES = 30
_SAME_SCORE = 1e-6
_BLOCK = 1 << 16

Search = Callable[[Embeddings], Rows]  # a query [1, D] to its best rows [K]


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Numbers of rows.")] = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help="Kinds of index; default: all, and hnswlib.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder where the vectors are kept.")] = Path("/tmp/aahr-search"),
    json_out: Annotated[
        Path | None, typer.Option("--json", help="File to write the figures to; it is added to.")
    ] = None,
) -> None:
    """Measure every kind at every number of rows, and put the default at the largest at the top of the figures."""
    measured = _earlier(json_out)
    for count in sorted(rows or [10_000, 100_000]):
        queries = Queries.load(count, cache)
        for kind in kinds or [*KINDS, HNSWLIB]:
            row = _measure(kind, queries)
            print(json.dumps(row), flush=True)
            measured = [*(old for old in measured if (old["kind"], old["rows"]) != (kind, count)), row]
            if json_out:
                json_out.write_text(json.dumps(_report(measured), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Queries:
    """Vectors [N, D], queries to tune on and held-out ones, what their best rows score, and the time of a flat scan."""

    vectors: Embeddings
    tuning: Embeddings
    held_out: Embeddings
    least: NDArray[np.float32]
    flat_ms: float

    @classmethod
    def load(cls, rows: int, cache: Path) -> "Queries":
        """So many rows, from the cache or made now."""
        mapped, queries = load(rows, cache)
        vectors = np.asarray(mapped)
        held_out = np.ascontiguousarray(queries[1::2][:MEASURED_QUERIES])
        flat_ms = _milliseconds(lambda query: scan(vectors, query, K)[1][0], held_out[:FLAT_QUERIES])
        return cls(vectors, queries[::2], held_out, scan(vectors, held_out, K)[0][:, -1], flat_ms)


def _measure(kind: str, queries: Queries) -> dict[str, Any]:
    started = time.perf_counter()
    search, size, setting = (_hnswlib if kind == HNSWLIB else _ours)(kind, queries)
    built = time.perf_counter() - started
    ms = _milliseconds(search, queries.held_out if kind != FLAT else queries.held_out[:FLAT_QUERIES])
    found = [
        (queries.vectors[search(query[None])] @ query >= least - _SAME_SCORE).mean()
        for query, least in zip(queries.held_out, queries.least, strict=True)
    ]
    return {
        "kind": kind,
        "rows": len(queries.vectors),
        "recall_at_10": round(float(np.mean(found)), 4),
        "ms_per_query": round(ms, 3),
        "ratio": round(ms / queries.flat_ms, 4),
        "memory_share": round(size / queries.vectors.nbytes, 4),
        "build_seconds": round(built, 1),
        "setting": setting,
    }


def _ours(kind: str, queries: Queries) -> tuple[Search, int, dict[str, Any]]:
    index, spec = build_ann(queries.vectors, queries=queries.tuning, kind=kind, recall=RECALL)

    def search(query: Embeddings) -> Rows:
        (best,) = best_candidates(index, queries.vectors, query, K, spec=spec)
        return best.rows[:K]

    return search, _resident_bytes(index, queries.vectors), {**spec.build, **spec.search, "rerank": spec.rerank}


def _resident_bytes(index: AnnIndex, vectors: Embeddings) -> int:
    if index.exact:
        return vectors.nbytes
    with TemporaryDirectory() as folder:
        index.write(Path(folder) / "ann.faiss")
        return (Path(folder) / "ann.faiss").stat().st_size


def _hnswlib(_: str, queries: Queries) -> tuple[Search, int, dict[str, Any]]:
    """hnswlib with 32 links and a construction breadth of 200; ef is raised until recall is enough in tuning."""
    import hnswlib

    vectors = queries.vectors
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=32, ef_construction=200)
    index.set_num_threads(usable_cores())
    for start in range(0, len(vectors), _BLOCK):
        index.add_items(vectors[start : start + _BLOCK])
    index.set_num_threads(1)
    tuning = np.ascontiguousarray(queries.tuning[:500])
    least = scan(vectors, tuning, K)[0][:, -1]
    for ef in (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512):
        index.set_ef(ef)
        rows = index.knn_query(tuning, k=K)[0].astype(np.int64)
        scores = np.einsum("qkd,qd->qk", vectors[rows], tuning)
        if (scores >= least[:, None] - _SAME_SCORE).mean() >= RECALL:
            break

    def search(query: Embeddings) -> Rows:
        found: Rows = index.knn_query(query, k=K)[0][0].astype(np.int64)
        return found

    with TemporaryDirectory() as folder:
        index.save_index(f"{folder}/index")
        size = Path(folder, "index").stat().st_size
    return search, size, {"M": 32, "ef": ef}


def _milliseconds(search: Search, queries: Embeddings) -> float:
    """The median time of a query by itself."""
    times = []
    for row in range(len(queries)):
        started = time.perf_counter()
        search(queries[row : row + 1])
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def _earlier(file: Path | None) -> list[dict[str, Any]]:
    measured: list[dict[str, Any]] = (
        json.loads(file.read_text(encoding="utf-8"))["table"] if file and file.exists() else []
    )
    return measured


def _report(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """What the default reaches at the largest number of rows that it was measured at, and all rows of the table."""
    most = max(row["rows"] for row in measured)
    default = next((row for row in measured if row["rows"] == most and row["kind"] == AUTOMATIC[0]), measured[-1])
    return {**default, "table": sorted(measured, key=lambda row: (row["rows"], row["kind"]))}


if __name__ == "__main__":
    typer.run(main)
