"""Floors of the service: what the same work costs without HTTP, on the same cores, in processes of their own."""

import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from http_load import Bodies, free_port, wait_until_ready, wrk
from serving_data import captions, jpegs

from index.collection import SearchOptions
from index.collection.open import open_store
from index.items import Modality
from model.cores import usable_cores
from model.preprocess import decode_image, prepare_image
from model.runtime import Runtime

BATCH = 16
_EMPTY = """
from fastapi import FastAPI
app = FastAPI()

@app.post("/search")
async def empty() -> dict[str, str]:
    return {}

@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {}
"""


def measured(name: str, model: Path, index: Path, seconds: float) -> dict[str, float]:
    """The figures of one floor, from a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(FLOORS[name], (model, index, seconds))


def text(model: Path, index: Path, seconds: float) -> dict[str, float]:
    """Texts a second that are encoded and searched with, in batches of 16, a thread a core."""
    with Runtime.load(model, workers=1) as runtime:
        collection = open_store(index).open()
        texts = captions()

        def answer(batch: int) -> int:
            chosen = [texts[(BATCH * batch + n) % len(texts)] for n in range(BATCH)]
            hits = collection.search(runtime.encode_texts(chosen), Modality.IMAGE, SearchOptions())
            return len(hits)

        def embed(batch: int) -> int:
            return len(runtime.encode_texts([texts[(BATCH * batch + n) % len(texts)] for n in range(BATCH)]))

        def search(batch: int) -> int:
            return len(collection.search(queries[batch % len(queries)], Modality.IMAGE, SearchOptions()))

        queries = [runtime.encode_texts(texts[BATCH * n : BATCH * n + BATCH]) for n in range(8)]
        return {
            "text_floor_rps": _rate(answer, seconds, usable_cores()),
            "encode_batches_rps": _rate(embed, seconds / 2, usable_cores()),
            "search_batches_rps": _rate(search, seconds / 2, usable_cores()),
            "encode_one_ms": 1e3 / _rate(lambda n: len(runtime.encode_texts([texts[n]])), seconds / 4, 1),
            "search_one_ms": 1e3
            / _rate(lambda n: len(collection.search(queries[n % 8][:1], Modality.IMAGE, SearchOptions())), 1, 1),
        }


def image(model: Path, _: Path, seconds: float) -> dict[str, float]:
    """Images of 640 x 480 a second that are decoded, prepared and encoded in pairs, a thread a core."""
    contents = jpegs(64)
    with Runtime.load(model, workers=1) as runtime:
        how = runtime.image_preprocessing

        def embed(pair: int) -> int:
            chosen = [contents[(2 * pair + n) % len(contents)] for n in range(2)]
            pixels = [prepare_image(decode_image(content, at_least=how.size), how) for content in chosen]
            return len(runtime.encode_pixels(np.stack(pixels)))

        return {"image_floor_rps": _rate(embed, seconds, usable_cores())}


FLOORS: dict[str, Callable[[Path, Path, float], dict[str, float]]] = {"text": text, "image": image}


def empty_post(bodies: Bodies, seconds: float) -> dict[str, float]:
    """Requests a second of 32 clients to a FastAPI route that does nothing."""
    with _empty_server() as url:
        return {"empty_fastapi_rps": wrk(f"{url}/search", bodies, clients=32, seconds=seconds)["rps"]}


@contextmanager
def _empty_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "empty.py").write_text(_EMPTY, encoding="utf-8")
        port = free_port()
        options = ["--port", str(port), "--http", "httptools", "--loop", "uvloop", "--no-access-log"]
        command = [sys.executable, "-m", "uvicorn", "empty:app", *options, "--log-level", "warning"]
        process = subprocess.Popen(command, cwd=folder)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/health/ready", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _rate(work: Callable[[int], int], seconds: float, threads: int) -> float:
    """Items a second of so many threads that take turns at numbered pieces of work."""
    work(0)
    lock, number, done = threading.Lock(), iter(range(10**9)), [0] * threads
    stop = time.perf_counter() + seconds

    def run(thread: int) -> None:
        while time.perf_counter() < stop:
            with lock:
                mine = next(number)
            done[thread] += work(mine)

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return sum(done) / (time.perf_counter() - started)
