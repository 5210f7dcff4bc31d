"""clip-retrieval's `back` beside our server: the same vectors, queries that are vectors, ten hits with metadata.

Its CLIP cannot be loaded without a network and has no part in such a query: torch and the loading are stubs. The index
is the one that its own `clip_index` makes, its options are the defaults where those need no network, and it listens on
this machine alone.
"""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from http_load import Bodies, Served, free_port, wait_until_ready, wrk
from serving_data import Floats, indexed_rows
from serving_peers import install

from index.items import Modality

HITS = 10
CLIENTS = (1, 8)
# Without what it needs for training and for other models: what it imports to search.
_REQUIREMENTS = (
    "flask>=3,<4",
    "flask_restful<1",
    "flask_cors>=4,<5",
    "numpy<2",
    "pandas<3",
    "pyarrow<16",
    "h5py<4",
    "fire<0.6",
    "tqdm",
    "prometheus-client<1",
    "fsspec",
    "pillow",
    "faiss-cpu<1.9",
    "autofaiss<3",
    "setuptools<80",
)
_PACKAGE = """
import importlib.util, sys, types

# The package itself imports its training and its other models.
package = types.ModuleType("clip_retrieval")
package.__path__ = importlib.util.find_spec("clip_retrieval").submodule_search_locations
sys.modules["clip_retrieval"] = package
"""
_INDEX = """
from clip_retrieval.clip_index import clip_index

clip_index(sys.argv[1], sys.argv[2])
"""
_SERVE = """
import flask

torch, all_clip = types.ModuleType("torch"), types.ModuleType("all_clip")
torch.cuda = types.SimpleNamespace(is_available=lambda: False)
all_clip.load_clip = lambda *args, **kwargs: (None, None, None)
sys.modules.update(torch=torch, all_clip=all_clip)
run = flask.Flask.run
flask.Flask.run = lambda self, **options: run(self, **{**options, "host": "127.0.0.1"})

from clip_retrieval.clip_back import clip_back

clip_back(
    sys.argv[1],
    port=int(sys.argv[2]),
    columns_to_return=["url", "caption", "payload"],
    enable_mclip_option=False,
    provide_aesthetic_embeddings=False,
)
"""


def clip_retrieval(cache: Path, index: Path, ours: Served, rounds: int, seconds: float) -> list[dict[str, float]]:
    """Requests a second and recall@10 of `back` and of our search, by turns."""
    place = cache / "peers" / "clip-retrieval"
    install(place, _REQUIREMENTS)
    install(place, ("clip-retrieval==2.45.0",), "--no-deps")
    vectors, queries = (indexed_rows(index, modality).vectors for modality in (Modality.IMAGE, Modality.TEXT))
    bodies = _bodies(cache, queries)
    found = []
    with _back(place, _indexed(place, index)) as url:
        urls = {"clip_retrieval": f"{url}/knn-service", "beside_clip_retrieval": f"{ours.url}/search"}
        found.append({f"{who}_recall": _recall(urls[who], bodies[who], vectors, queries) for who in urls})
        for _ in range(rounds):
            for clients in CLIENTS:
                for who, address in urls.items():
                    run = wrk(address, bodies[who], clients=clients, seconds=seconds)
                    if run["failed"]:
                        raise SystemExit(f"{run['failed']:.0f} requests to {address} failed")
                    found.append({f"{who}_{name}_{clients}": run[name] for name in ("rps", "p50_ms", "p99_ms")})
    return found


def _bodies(cache: Path, queries: Floats) -> dict[str, Bodies]:
    """The same queries as both servers want them."""
    theirs = {"modality": "image", "num_images": HITS, "num_result_ids": HITS, "indice_name": "aahr"}
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "clip_retrieval": ("embedding_input", theirs),
        "beside_clip_retrieval": ("embedding", {"target": "image", "limit": HITS}),
    }
    made = {}
    for who, (name, options) in wanted.items():
        made[who] = Bodies(cache / f"{who}.jsonl")
        rows = np.round(queries.astype(np.float64), 7).tolist()
        lines = (json.dumps({name: row, **options}) + "\n" for row in rows)
        made[who].file.write_text("".join(lines), encoding="utf-8")
    return made


def _indexed(place: Path, index: Path) -> Path:
    """A folder with the index that clip-retrieval makes of the same vectors, made once."""
    folder = place / index.name
    if not (folder / "index" / "metadata").exists():
        rows = indexed_rows(index, Modality.IMAGE)
        for part in ("img_emb", "metadata"):
            (folder / "embeddings" / part).mkdir(parents=True, exist_ok=True)
        np.save(folder / "embeddings" / "img_emb" / "img_emb_0.npy", rows.vectors)
        table = rows.metadata.select(["uri", "caption", "payload"]).rename_columns(["url", "caption", "payload"])
        pq.write_table(table, folder / "embeddings" / "metadata" / "metadata_0.parquet")
        (folder / "index").mkdir(exist_ok=True)
        if _python(place, _INDEX, str(folder / "embeddings"), str(folder / "index")).wait():
            raise SystemExit("clip-retrieval could not make its index")
    return folder / "index"


@contextmanager
def _back(place: Path, folder: Path) -> Iterator[str]:
    indices, port = folder.parent / "indices.json", free_port()
    indices.write_text(json.dumps({"aahr": str(folder)}), encoding="utf-8")
    process = _python(place, _SERVE, str(indices), str(port))
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/indices-list", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _python(place: Path, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [str(place / "bin" / "python"), "-W", "ignore", "-c", _PACKAGE + code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _recall(url: str, bodies: Bodies, vectors: Floats, queries: Floats, asked: int = 100) -> float:
    """The share of the true ten best that a server returns, each with its caption."""
    best = np.argpartition(-(queries[:asked] @ vectors.T), HITS, axis=1)[:, :HITS]
    found = 0
    with bodies.file.open("rb") as lines:
        for line, rows in zip(lines, best, strict=False):
            request = urllib.request.Request(url, line, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = json.load(response)
            hits = answer["results"] if isinstance(answer, dict) else answer
            if len(hits) != HITS or not all(hit["caption"] for hit in hits):
                raise SystemExit(f"{url} answered {len(hits)} hits, or some without their metadata")
            found += len({int(str(hit["id"]).rpartition("_")[2]) for hit in hits} & set(rows.tolist()))
    return found / (HITS * asked)
