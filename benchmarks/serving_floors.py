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
from functools import partial
from pathlib import Path

import numpy as np
from http_load import free_port, wait_until_ready
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from rebuild import bare_sessions
from serving_data import captions, jpegs

from index.collection import SearchOptions
from index.collection.open import open_store
from index.items import Modality
from model.artifact import load_model_artifact
from model.cores import usable_cores
from model.preprocess import decode_image, prepare_image
from model.runtime import Runtime
from model.tokens import Feeds, SentenceTokenizer, token_feeds

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
    """Texts a second that are encoded and searched with, in batches of 16, a thread a core.

    `text_floor_rps`: each of the threads tokenises 16 captions, runs the graph once, and searches once with the 16
    embeddings for ten hits each, metadata included, again and again. That is all that a request needs but for HTTP.
    """
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


def ort(model: Path, _: Path, seconds: float) -> dict[str, float]:
    """Items a second of the bare graphs, tokens and pixels being ready; `16x2` is batches of 16 on two threads."""
    artifact = load_model_artifact(model)
    images, texts = bare_sessions(artifact)
    how = artifact.preprocessing.image
    assert how is not None
    tokenizer, chosen = SentenceTokenizer.of(artifact), captions()
    pixels = np.stack([prepare_image(decode_image(content, at_least=how.size), how) for content in jpegs(4)])
    found = {}
    for size, threads in ((1, 1), (16, 1), (32, 1), (16, 2), (32, 2)):
        feeds = [token_feeds(tokenizer(chosen[size * n : size * n + size])) for n in range(64)]
        embed = partial(_embed_texts, texts, feeds)
        found[f"ort_text_rps_{size}x{threads}"] = _rate(embed, seconds / 4, threads)
    for size, threads in ((1, 1), (4, 2)):
        embed = partial(_embed_images, images, pixels[:size])
        found[f"ort_image_rps_{size}x{threads}"] = _rate(embed, seconds / 4, threads)
    return found


def _embed_texts(session: InferenceSession, feeds: list[Feeds], number: int) -> int:
    feed = feeds[number % len(feeds)]
    session.run(["embedding"], feed)
    return len(feed["input_ids"])


def _embed_images(session: InferenceSession, pixels: NDArray[np.float32], _: int) -> int:
    session.run(["embedding"], {"pixels": pixels})
    return len(pixels)


FLOORS: dict[str, Callable[[Path, Path, float], dict[str, float]]] = {"text": text, "image": image, "ort": ort}


@contextmanager
def empty_server() -> Iterator[str]:
    """A FastAPI route that does nothing, as uvicorn serves it best."""
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
