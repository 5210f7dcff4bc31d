"""Claim: the service answers as fast as its model allows, however many clients there are.

    python benchmarks/serving.py --json serving.json --profile --peer infinity --peer clip-retrieval

Everything runs on this machine: `aahr serve` on an index of 100,000 images, wrk as its clients, and in turns with them
the floors (serving_floors.py): the same encoding and searching without HTTP. Figures are medians over rounds, `lowest`
and `highest` say how far the rounds differ; what counts is a figure as a share of the floor of the same run. A request
that fails ends the run. What is made once lies in a cache folder: the first run takes some minutes more than the seven
of the others, and peers and profile some more. `--only text` measures a part. Needs wrk and redis-server.
"""

import json
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from http_load import Bodies, Served, busy_cores, free_port, serving, wrk
from places import CACHE
from serving_clip_retrieval import clip_retrieval
from serving_data import gallery, image_bodies, model, text_bodies
from serving_floors import empty_server, measured
from serving_peers import infinity
from serving_profile import profile_table, profiled
from serving_table import table

TEXT_CLIENTS = (1, 8, 32, 64)
_QUIET_CORES = 0.2
NO_CACHE = {"AAHR_CACHE_BYTES": "0"}
Figures = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long; `many` is the index of which the start is timed as well."""

    cache: Path
    model: Path
    index: Path
    many: Path | None
    rounds: int
    seconds: int


def main(
    json_out: Annotated[Path, typer.Option("--json", help="File to write the figures to.")] = Path("serving.json"),
    rows: Annotated[int, typer.Option(help="Images of the index.")] = 100_000,
    many_rows: Annotated[int, typer.Option(help="Images of the index whose start is timed as well; 0: none.")] = 0,
    precision: Annotated[str, typer.Option(help="Of the model: fp32 or int8.")] = "fp32",
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = 6,
    cache: Annotated[Path, typer.Option(help="Folder of what is made once.")] = CACHE / "serving",
    only: Annotated[str, typer.Option(help="Comma-separated parts: text, cached, images, starts.")] = "",
    peers: Annotated[list[str] | None, typer.Option("--peer", help="infinity or clip-retrieval, beside ours.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Say where the time goes as well.")] = False,
) -> None:
    """Measure texts, cached texts, images and the start, with their floors, and write the figures."""
    parts = _chosen(only.split(",") if only else PARTS, PARTS)
    others = _chosen(peers or (), PEERS)
    cache.mkdir(parents=True, exist_ok=True)
    exported = model(cache, precision)
    many = gallery(cache, exported, many_rows) if many_rows else None
    plan = Plan(cache, exported, gallery(cache, exported, rows), many, rounds, seconds)
    figures: dict[str, Any] = {"rows": rows, "precision": precision, "rounds": rounds, "seconds": seconds}
    figures["busy_cores_before"] = busy = busy_cores()
    if busy > _QUIET_CORES:
        print(f"other processes keep {busy:.1f} cores busy: these figures are not those of an idle machine")
    found = [figures for part in (*parts, *others) for figures in part(plan)]
    figures |= _over_rounds(statistics.median, found)
    figures |= _ratios(figures)
    figures |= {"lowest": _over_rounds(min, found), "highest": _over_rounds(max, found)}
    if profile:
        figures["profile"] = _profiles(plan)
    json_out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    if profile:
        print(f"\n{profile_table(figures['profile'])}")


def _chosen(names: Iterable[str], known: "Mapping[str, Part]") -> "list[Part]":
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is not known; give some of {', '.join(known)}")
    return [known[name] for name in names]


def _texts(plan: Plan) -> Iterator[Figures]:
    """Distinct texts."""
    bodies, at = text_bodies(plan.cache), 0
    with serving(plan.index) as served:
        for _ in range(plan.rounds):
            yield measured("ort", plan.model, plan.index, plan.seconds)
            yield measured("text", plan.model, plan.index, plan.seconds)
            for clients in TEXT_CLIENTS:
                run = _load(served.url, bodies, clients, plan.seconds, at)
                at += int(run["requests"]) + clients
                yield _named(f"text_{{}}_{clients}", run)


def _cached(plan: Plan) -> Iterator[Figures]:
    """A hundred equal texts, in the process and in Redis, and a server that does nothing."""
    bodies = text_bodies(plan.cache, equal=100)
    with (
        empty_server() as empty,
        serving(plan.index) as ours,
        _redis() as url,
        serving(plan.index, {**NO_CACHE, "REDIS_URL": url}) as through_redis,
    ):
        places = {"empty_fastapi_{}": empty, "cached_{}_32": ours.url, "redis_{}_32": through_redis.url}
        for place in places.values():
            _load(place, bodies, 8, 2)
        for _ in range(plan.rounds):
            yield from (_named(name, _load(at, bodies, 32, plan.seconds)) for name, at in places.items())


def _images(plan: Plan) -> Iterator[Figures]:
    """Images, of which none is in a cache."""
    bodies = image_bodies(plan.cache)
    with serving(plan.index, NO_CACHE) as served:
        for number in range(plan.rounds):
            yield measured("image", plan.model, plan.index, plan.seconds)
            for clients in (1, 8):
                yield _named(f"image_{{}}_{clients}", _load(served.url, bodies, clients, plan.seconds, 500 * number))


def _starts(plan: Plan) -> Iterator[Figures]:
    """Seconds from the start of the process until it is ready, with the files in the page cache."""
    starts = {"start_s": partial(serving, plan.index)}
    starts["start_2_workers_s"] = partial(serving, plan.index, None, "--workers", "2")
    if plan.many is not None:
        starts["start_many_rows_s"] = partial(serving, plan.many)
    for start in starts.values():
        with start():
            pass
    for _ in range(plan.rounds):
        for name, start in starts.items():
            with start() as served:
                yield {name: served.ready_s}


def _infinity(plan: Plan) -> Iterator[Figures]:
    with serving(plan.index, NO_CACHE) as served:
        yield from infinity(plan.cache, text_bodies(plan.cache), served, plan.rounds, plan.seconds)


def _clip_retrieval(plan: Plan) -> Iterator[Figures]:
    with serving(plan.index, NO_CACHE) as served:
        yield from clip_retrieval(plan.cache, plan.index, served, plan.rounds, plan.seconds)


Part = Callable[[Plan], Iterator[Figures]]
PARTS: dict[str, Part] = {"text": _texts, "cached": _cached, "images": _images, "starts": _starts}
PEERS: dict[str, Part] = {"infinity": _infinity, "clip-retrieval": _clip_retrieval}


def _profiles(plan: Plan) -> dict[str, dict[str, Any]]:
    """Where the time of a text, of a cached text and of an image goes."""
    texts, equal, images = text_bodies(plan.cache), text_bodies(plan.cache, equal=100), image_bodies(plan.cache)
    found = {}
    with serving(plan.index, NO_CACHE) as served:
        for name, bodies, clients in (("text, 1", texts, 1), ("text, 32", texts, 32), ("image, 8", images, 8)):
            found[name] = _profiled(plan, served, bodies, clients)
    with serving(plan.index) as served:
        _load(served.url, equal, 8, 2)
        found["cached, 32"] = _profiled(plan, served, equal, 32)
    return found


def _profiled(plan: Plan, served: Served, bodies: Bodies, clients: int) -> dict[str, Any]:
    load = partial(_load, served.url, bodies, clients, plan.seconds)
    return profiled(plan.cache, served, load, plan.seconds)


def _load(url: str, bodies: Bodies, clients: int, seconds: int, start: int = 0) -> Figures:
    run = wrk(f"{url}/search", bodies, clients=clients, seconds=seconds, start=start)
    if run["failed"]:
        raise SystemExit(f"{run['failed']:.0f} requests of {clients} clients failed")
    return run


def _named(pattern: str, run: Mapping[str, float]) -> Figures:
    return {pattern.format(name): run[name] for name in ("rps", "p50_ms", "p99_ms")}


def _over_rounds(of: Callable[[Iterable[float]], float], found: list[Figures]) -> Figures:
    names = dict.fromkeys(name for figures in found for name in figures)
    return {name: of([figures[name] for figures in found if name in figures]) for name in names}


def _ratios(figures: Mapping[str, float]) -> Figures:
    """Figures as shares of their floors, as far as both were measured; and those beside a peer as its multiples."""
    pairs = {
        **{f"text_share_{clients}": (f"text_rps_{clients}", "text_floor_rps") for clients in TEXT_CLIENTS},
        "image_share_8": ("image_rps_8", "image_floor_rps"),
        "cached_share_32": ("cached_rps_32", "empty_fastapi_rps"),
        "redis_share_32": ("redis_rps_32", "empty_fastapi_rps"),
        **{f"infinity_times_{c}": (f"beside_infinity_rps_{c}", f"infinity_rps_{c}") for c in (1, 8, 32)},
        **{f"clip_retrieval_times_{c}": (f"beside_clip_retrieval_rps_{c}", f"clip_retrieval_rps_{c}") for c in (1, 8)},
    }
    return {name: figures[a] / figures[b] for name, (a, b) in pairs.items() if a in figures and b in figures}


@contextmanager
def _redis() -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    typer.run(main)
