"""Claim: under mixed load, bad requests and swaps, memory, descriptors and latency of the service stay flat.

    python benchmarks/soak.py --minutes 5 --json soak.json --plot docs/soak.svg

Eight clients send distinct texts, equal texts, images, bad requests, and now and then leave before the answer. Every
ten seconds a version is published with one caption more or less, and taken by POST /admin/reload. Each second resident
memory, open descriptors and threads of the process are noted. Ends with status 1 where a request failed, or where
memory or descriptors of the second half are well above those of the first.
"""

import http.client
import itertools
import json
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import typer
from http_load import Served, serving
from matplotlib import rc_context
from matplotlib.figure import Figure
from places import CACHE
from serving_data import captions, gallery, jpegs, model

from index.collection.local import LocalStore
from index.items import Modality
from index.metadata import SCHEMA
from index.pending import PendingRows

CLIENTS = 8
SWAP_EVERY_S = 10
# Of the medians of both halves: what allocators keep differs by some megabytes from minute to minute.
MAY_GROW_MB = 25
MAY_GROW_DESCRIPTORS = 8

MEASURES = ("rss_mb", "descriptors", "threads", "p99_ms")

Body = tuple[bytes, dict[str, str], int]


@dataclass
class Seen:
    """What the clients and the sampler have seen; appended to by several threads."""

    latencies_ms: list[tuple[float, float]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)
    swaps: int = 0
    left: int = 0


def main(
    minutes: Annotated[float, typer.Option(min=0.2)] = 5.0,
    json_out: Annotated[Path, typer.Option("--json", help="File to write the figures to.")] = Path("soak.json"),
    plot: Annotated[Path | None, typer.Option(help="SVG to draw.")] = None,
    rows: Annotated[int, typer.Option(help="Images of the index.")] = 20_000,
    cache: Annotated[Path, typer.Option(help="Folder of what is made once.")] = CACHE / "serving",
) -> None:
    """Load the service for some minutes, then write what was seen."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        shutil.copytree(gallery(cache, model(cache, "fp32"), rows), index)
        with serving(index, {"AAHR_CACHE_BYTES": "16000000"}) as served:
            seen = load(served, index, minutes * 60)
    figures = summary(seen, minutes)
    json_out.write_text(json.dumps({**figures, "samples": seen.samples}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    if plot is not None:
        draw(seen, plot)
    grown = figures["rss_mb_grown"] > MAY_GROW_MB or figures["descriptors_grown"] > MAY_GROW_DESCRIPTORS
    if seen.failed or grown:
        raise SystemExit(1)


def load(served: Served, index: Path, seconds: float) -> Seen:
    """Clients, swaps and samples side by side until the time is over."""
    texts, images = captions(), jpegs(64)
    seen, started = Seen(), time.monotonic()
    stop = threading.Event()
    client = partial(_client, served, texts, images)
    work: list[Callable[[], None]] = [partial(client, seed, seen, stop) for seed in range(CLIENTS)]
    work += [partial(_swap, served, index, seen, stop), partial(_sample, served, seen, stop, started)]
    with ThreadPoolExecutor(len(work)) as pool:
        running = [pool.submit(one) for one in work]
        # Sooner than after all the time where one of them fails, which `result` then raises.
        wait(running, timeout=seconds, return_when=FIRST_EXCEPTION)
        stop.set()
        for one in running:
            one.result()
    return seen


def _client(
    served: Served, texts: list[str], images: list[bytes], seed: int, seen: Seen, stop: threading.Event
) -> None:
    address, chance = urlsplit(served.url), random.Random(seed)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    for number in itertools.count():
        if stop.is_set():
            connection.close()
            return
        body, headers, expected = _request(chance, texts, images, seed, number)
        started = time.monotonic()
        try:
            connection.request("POST", "/search", body, headers)
            if chance.random() < 0.01:
                connection.close()
                seen.left += 1
                continue
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            seen.failed.append(repr(error))
            connection.close()
            continue
        seen.latencies_ms.append((started, 1e3 * (time.monotonic() - started)))
        if response.status != expected:
            seen.failed.append(f"{response.status} where {expected} was expected")


def _request(chance: random.Random, texts: list[str], images: list[bytes], seed: int, number: int) -> Body:
    """Half of the requests are distinct texts, the others are equal ones, images and nonsense."""
    plain = {"Content-Type": "application/json"}
    kind = chance.random()
    if kind < 0.5:
        return json.dumps({"text": f"{chance.choice(texts)} {seed}-{number}"}).encode(), plain, 200
    if kind < 0.8:
        return json.dumps({"text": texts[chance.randrange(50)]}).encode(), plain, 200
    if kind < 0.95:
        content = chance.choice(images) + number.to_bytes(4)  # what follows the end of an image is ignored
        head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        return head + content + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}, 200
    return chance.choice([b'{"text": ""}', b'{"limit": -1, "text": "a"}', b'{"image": "AAAA"}']), plain, 422


def _swap(served: Served, index: Path, seen: Seen, stop: threading.Event) -> None:
    store, address = LocalStore(index), urlsplit(served.url)
    for number in itertools.count():
        if stop.wait(SWAP_EVERY_S):
            return
        if number % 2:
            store.delete(["soak"])
        else:
            store.upsert({Modality.TEXT: _one_caption(store)})
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        connection.request("POST", "/admin/reload")
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        seen.swaps += 1
        if response.status != 200:
            seen.failed.append(f"reload: {response.status} {answer[:200]!r}")


def _one_caption(store: LocalStore) -> PendingRows:
    collection = store.open()
    vector = np.eye(1, collection.model.dimension, dtype=np.float32)
    columns = {"id": "soak", "image_id": "image_0000000", "uri": "a.jpg", "caption": "a", "payload": "{}"}
    return PendingRows(vector, pa.Table.from_pylist([{**columns, "fingerprint": None}], schema=SCHEMA))


def _sample(served: Served, seen: Seen, stop: threading.Event, started: float) -> None:
    while not stop.wait(1):
        recent = [ms for at, ms in seen.latencies_ms[-2000:] if at > time.monotonic() - 5]
        status = dict(line.split(":", 1) for line in Path(f"/proc/{served.pid}/status").read_text().splitlines())
        seen.samples.append(
            {
                "second": time.monotonic() - started,
                "rss_mb": int(status["VmRSS"].split()[0]) / 1024,
                "threads": int(status["Threads"]),
                "descriptors": len(list(Path(f"/proc/{served.pid}/fd").iterdir())),
                "p99_ms": float(np.percentile(recent, 99)) if recent else 0.0,
            }
        )


def summary(seen: Seen, minutes: float) -> dict[str, Any]:
    """Totals, latencies, and how far the median of the second half is above that of the first; without warming-up."""
    samples = seen.samples[len(seen.samples) // 10 :]
    first, second = samples[: len(samples) // 2], samples[len(samples) // 2 :]
    times = [ms for _, ms in seen.latencies_ms]

    def grown(name: str) -> float:
        halves = [statistics.median(sample[name] for sample in half) for half in (first, second)]
        return round(halves[1] - halves[0], 2)

    return {
        "minutes": minutes,
        "requests": len(times),
        "failed": len(seen.failed),
        "failures": seen.failed[:5],
        "left_before_the_answer": seen.left,
        "swaps": seen.swaps,
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p99_ms": round(float(np.percentile(times, 99)), 2),
        "rss_mb": round(second[-1]["rss_mb"], 1),
        **{f"{name}_grown": grown(name) for name in MEASURES},
        **{f"{name}_a_minute": round(slope(samples, name), 3) for name in MEASURES},
    }


def slope(samples: Sequence[Mapping[str, float]], name: str) -> float:
    """By how much a measure rises in a minute, by least squares."""
    minutes = np.array([sample["second"] / 60 for sample in samples])
    minutes -= minutes.mean()
    return float(minutes @ [sample[name] for sample in samples] / (minutes @ minutes))


def draw(seen: Seen, file: Path) -> None:
    """Memory, descriptors and latency over time."""
    names: Mapping[str, str] = {"rss_mb": "resident MB", "descriptors": "open descriptors", "p99_ms": "p99 of 5 s, ms"}
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots(len(names), 1, sharex=True)
    for axis, (name, label) in zip(axes, names.items(), strict=True):
        values = [sample[name] for sample in seen.samples]
        axis.plot([sample["second"] for sample in seen.samples], values)
        axis.set_ylabel(label)
        axis.set_ylim(0, 1.1 * max(values))
    axes[-1].set_xlabel("seconds")
    with rc_context({"svg.hashsalt": "aahr"}):  # equal figures give equal files
        figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    typer.run(main)
