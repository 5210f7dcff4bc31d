"""Claim: an index of a million rows opens in 3 s, holds up nobody else, and keeps under 200 bytes a row beside vectors.

    python benchmarks/loading.py --rows 1000000 --json loading.json

Writes an index of random unit vectors with captions and a nested payload, then opens it in a fresh process: strictly,
as a service does, with every hash compared. A second thread sleeps for a millisecond at a time meanwhile and notes by
how much it woke up late: what holds the interpreter's lock shows there. A version with one image more is then opened as
a reload does, sharing what both versions have in common.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from index.collection.local import LocalCollection, LocalStore
from index.filters import parse_filter
from index.items import Modality, image_item_id
from index.manifest import IndexedModel
from index.metadata import SCHEMA
from index.pending import PendingRows, PendingVersion

DIMENSION = 384
_BLOCK = 50_000


def main(
    rows: Annotated[int, typer.Option(help="Images of the index.")] = 1_000_000,
    kind: Annotated[str, typer.Option(help="Kind of nearest-neighbour index; flat needs no time to build.")] = "flat",
    json_out: Annotated[Path | None, typer.Option("--json", help="File to write the figures to.")] = None,
    opened: Annotated[Path | None, typer.Option(help="Only open this index and print the figures.")] = None,
) -> None:
    """Write an index, open it in a process of its own and print what that cost."""
    if opened is not None:
        print(json.dumps(open_and_measure(opened)))
        return
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "index"
        started = time.perf_counter()
        store = LocalStore(directory, {"kind": kind})
        store.publish(_pending(Path(folder), rows))
        written = time.perf_counter() - started
        one_more = PendingRows(_vectors(1, seed=1), _metadata(rows, rows + 1))
        started = time.perf_counter()
        store.upsert({Modality.IMAGE: one_more})
        added = time.perf_counter() - started
        command = [sys.executable, __file__, "--opened", str(directory)]
        figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    figures |= {"rows": rows, "kind": kind, "publish_seconds": round(written, 1), "add_one_seconds": round(added, 2)}
    print(json.dumps(figures, indent=2))
    if json_out:
        json_out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def open_and_measure(directory: Path) -> dict[str, Any]:
    """Seconds, the longest lag of another thread, and resident bytes a row, of opening and of the first use."""
    store = LocalStore(directory)
    before = _resident()
    with _Lag() as lag:
        started = time.perf_counter()
        collection = store.open("000001")
        seconds = time.perf_counter() - started
    count = collection.count(Modality.IMAGE)
    opened = _resident() - before
    with _Lag() as reload_lag:
        started = time.perf_counter()
        newer = store.open("000002", shared=collection)
        reload_seconds = time.perf_counter() - started
    filtered = _filter(collection)
    items = [collection.item(image_item_id(f"{row:07d}.jpg")).id for row in range(0, count, max(1, count // 1000))]
    return {
        "open_seconds": round(seconds, 3),
        "open_lag_ms": round(lag.longest_ms, 1),
        "reload_seconds": round(reload_seconds, 3),
        "reload_lag_ms": round(reload_lag.longest_ms, 1),
        "resident_bytes_a_row": round(opened / count, 1),
        "resident_bytes_a_row_after_use": round((_resident() - before) / count, 1),
        "filter_ms": filtered,
        "items_read": len(items),
        "newer": newer.count(Modality.IMAGE),
    }


def _filter(collection: LocalCollection) -> float:
    """Milliseconds of the mask of one filter over all rows."""
    where = parse_filter({"must": [{"key": "shot.year", "range": {"gte": 2010}}]})
    segment = collection.snapshot.segments[0]
    started = time.perf_counter()
    segment.metadata.mask(where)
    return round(1000 * (time.perf_counter() - started), 1)


class _Lag:
    """The longest time by which a thread that sleeps a millisecond woke up late."""

    def __enter__(self) -> "_Lag":
        self.longest_ms = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        time.sleep(0.1)
        self.longest_ms = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.is_set():
            started = time.perf_counter()
            time.sleep(0.001)
            self.longest_ms = max(self.longest_ms, 1000 * (time.perf_counter() - started) - 1)


def _resident() -> int:
    """Resident bytes of this process but for pages of mapped files that the system may drop at any time."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))


def _pending(folder: Path, rows: int) -> PendingVersion:
    model = IndexedModel(model_id="0" * 16, name="random", dimension=DIMENSION, directory=str(folder))
    path = folder / "vectors.npy"
    stored = np.lib.format.open_memmap(path, "w+", np.float32, (rows, DIMENSION))
    for start, block in _blocks(rows):
        stored[start : start + len(block)] = block
    images = PendingRows(stored, _metadata(0, rows))
    return PendingVersion(model, folder, {Modality.IMAGE: images})


def _blocks(rows: int) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    for start in range(0, rows, _BLOCK):
        yield start, _vectors(min(_BLOCK, rows - start), seed=start)


def _vectors(rows: int, *, seed: int) -> np.ndarray[Any, Any]:
    values = np.random.default_rng(seed).normal(size=(rows, DIMENSION)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def _metadata(start: int, stop: int) -> pa.Table:
    uris = [f"{row:07d}.jpg" for row in range(start, stop)]
    ids = [image_item_id(uri) for uri in uris]
    payloads = [
        json.dumps({"shot": {"year": 2000 + row % 25, "camera": f"camera {row % 40}"}, "tags": ["a", f"t{row % 99}"]})
        for row in range(start, stop)
    ]
    captions = [f"the caption of image number {row}" for row in range(start, stop)]
    absent = [pa.nulls(len(ids), SCHEMA.field(name).type) for name in ("fingerprint", "description")]
    return pa.table([ids, ids, uris, captions, payloads, *absent], schema=SCHEMA)


if __name__ == "__main__":
    typer.run(main)
