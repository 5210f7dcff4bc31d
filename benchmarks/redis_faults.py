"""Claim: whatever is wrong with Redis, no request fails, and the slowest hundredth takes no more than twice as long.

    python benchmarks/redis_faults.py --json redis_faults.json

Two services answer the same texts on an index of 100,000 images, in turns: one without any cache, and one whose only
cache is a real Redis behind a proxy (tests/redis_faults.py), which begins to fail while clients ask and is then cured.
Figures of a fault are those of the requests that were sent while it lasted, of all rounds together. An answer counts as
failed as well if its best score is not that of the service without a cache. `back_s` is the time from the cure until a
look-up reaches Redis. Needs redis-server.
"""

import http.client
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from http_load import serving
from places import CACHE
from serving_data import captions, gallery, model

from tests.load import Load, Outcome, load, percentile_ms
from tests.redis_faults import FAULTS, FaultyRedis, faulty_redis

TEXTS = 400
NO_CACHE = {"AAHR_CACHE_BYTES": "0"}
SCORE_TOLERANCE = 1e-3
_PATIENCE_S = 30
_KINDS = ("fault", "no_cache", "well")


def main(
    json_out: Annotated[Path, typer.Option("--json", help="File to write the figures to.")] = Path("redis_faults.json"),
    rows: Annotated[int, typer.Option(help="Images of the index.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="How long each fault lasts in a round.")] = 4.0,
    clients: Annotated[int, typer.Option(min=1)] = 8,
    cache: Annotated[Path, typer.Option(help="Folder of what is made once.")] = CACHE / "serving",
) -> None:
    """Let Redis fail in every way while clients ask, and write what it cost them."""
    cache.mkdir(parents=True, exist_ok=True)
    index = gallery(cache, model(cache, "fp32"), rows)
    with (
        faulty_redis() as redis,
        serving(index, NO_CACHE) as plain,
        serving(index, {**NO_CACHE, "REDIS_URL": redis.url}) as cached,
    ):
        bench = Bench(redis, plain.url, cached.url, clients, seconds)
        for _ in range(rounds):
            for name in FAULTS:
                bench.measure(name)
    faults = {name: found.figures() for name, found in bench.found.items()}
    figures = {"rows": rows, "rounds": rounds, "seconds": seconds, "clients": clients, "faults": faults}
    json_out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(table(faults))


@dataclass
class Found:
    """The requests of all rounds: without cache, with Redis as it should be, and while it failed."""

    plain: list[Outcome] = field(default_factory=list)
    well: list[Outcome] = field(default_factory=list)
    during: list[Outcome] = field(default_factory=list)
    failed: int = 0
    back_s: float = 0.0

    def figures(self) -> dict[str, float]:
        """What is written to the file; `back_s` is the longest of the rounds."""
        figures: dict[str, float] = {}
        for name, outcomes in zip(_KINDS, (self.during, self.plain, self.well), strict=True):
            figures[f"{name}_p50_ms"] = percentile_ms(outcomes, 0.5)
            figures[f"{name}_p99_ms"] = percentile_ms(outcomes, 0.99)
        return {
            **figures,
            "requests": len(self.during),
            "cached": sum(outcome.cached for outcome in self.during),
            "failed": self.failed,
            "p99_ratio": figures["fault_p99_ms"] / figures["no_cache_p99_ms"],
            "back_s": self.back_s,
        }


class Bench:
    """The two services under the same load."""

    def __init__(self, redis: FaultyRedis, plain: str, cached: str, clients: int, seconds: float) -> None:
        self.found = {name: Found() for name in FAULTS}
        self._redis = redis
        self._plain = plain
        self._cached = cached
        self._clients = clients
        self._seconds = seconds
        self._bodies = [json.dumps({"text": text}).encode() for text in captions()[:TEXTS]]
        self._scores = _scores(plain, self._bodies)

    def measure(self, name: str) -> None:
        """One round of this fault."""
        found = self.found[name]
        with load(self._plain, self._bodies, self._clients, self._is_right) as plain:
            time.sleep(self._seconds)
        with load(self._cached, self._bodies, self._clients, self._is_right) as running:
            _wait_until_cached(running, 0.9)
            began = time.monotonic()
            time.sleep(self._seconds / 4)
            found.well += running.since(began)
            began = time.monotonic()
            with FAULTS[name](self._redis):
                time.sleep(self._seconds)
                found.during += running.since(began)
            found.back_s = max(found.back_s, self._seconds_until_asked())
        found.plain += plain.outcomes
        found.failed += sum(not outcome.right for outcome in running.outcomes)

    def _seconds_until_asked(self) -> float:
        """From now until the service looks something up in Redis again."""
        began, before = time.monotonic(), self._redis.lookups()
        while self._redis.lookups() <= before:
            time.sleep(0.01)
        return time.monotonic() - began

    def _is_right(self, body: bytes, answer: Any) -> bool:
        return abs(answer["results"][0]["score"] - self._scores[body]) < SCORE_TOLERANCE


def _wait_until_cached(running: Load, share: float) -> None:
    """Until so many of the last hundred answers came from Redis."""
    deadline = time.monotonic() + _PATIENCE_S
    while sum(outcome.cached for outcome in running.outcomes[-100:]) < 100 * share:
        if time.monotonic() > deadline:
            raise SystemExit(f"Redis was not used within {_PATIENCE_S} s")
        time.sleep(0.01)


def _scores(url: str, bodies: list[bytes]) -> dict[bytes, float]:
    """The best score of each search, from the service without a cache."""
    connection = http.client.HTTPConnection(str(urlsplit(url).hostname), urlsplit(url).port, timeout=30)
    scores = {}
    for body in bodies:
        connection.request("POST", "/search", body, {"Content-Type": "application/json"})
        scores[body] = json.loads(connection.getresponse().read())["results"][0]["score"]
    connection.close()
    return scores


def table(faults: dict[str, dict[str, float]]) -> str:
    """The figures for docs/benchmarks.md."""
    lines = [
        "| Redis is | p50 / p99 ms | no cache | p99 ratio | Redis before | requests, failed | asked again after |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in faults.items():
        times = [f"{found[f'{kind}_p50_ms']:.1f} / {found[f'{kind}_p99_ms']:.1f}" for kind in _KINDS]
        counts = f"{found['requests']:,.0f}, {found['failed']:.0f}"
        lines.append(
            f"| {name} | {times[0]} | {times[1]} | {found['p99_ratio']:.2f} | {times[2]} | {counts} "
            f"| {found['back_s']:.1f} s |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
