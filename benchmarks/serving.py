"""Claim: the service answers as fast as its model allows, however many clients there are.

    python benchmarks/serving.py --json serving.json

Everything runs on this machine: `aahr serve` on an index of 100,000 images, wrk as its clients, and in turns with them
the floors (serving_floors.py): the same encoding and searching without HTTP. Figures are medians over rounds; what
counts is a figure as a share of the floor of the same run. Needs wrk and redis-server.
"""

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from http_load import Bodies, Served, free_port, serving, wrk
from runs import CACHE
from serving_data import gallery, image_bodies, model, text_bodies
from serving_floors import empty_post, measured
from serving_peers import infinity

TEXT_CLIENTS = (1, 8, 32, 64)
NO_CACHE = {"AAHR_CACHE_BYTES": "0"}
Figures = dict[str, float]


def main(
    json_out: Annotated[Path, typer.Option("--json", help="File to write the figures to.")] = Path("serving.json"),
    rows: Annotated[int, typer.Option(help="Images of the index.")] = 100_000,
    many_rows: Annotated[int, typer.Option(help="Images of the index whose start is timed as well; 0: none.")] = 0,
    precision: Annotated[str, typer.Option(help="Of the model: fp32 or int8.")] = "fp32",
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement.")] = 6.0,
    cache: Annotated[Path, typer.Option(help="Folder of what is made once.")] = CACHE / "serving",
    peers: Annotated[list[str] | None, typer.Option("--peer", help="infinity: the server beside ours.")] = None,
) -> None:
    """Measure texts, cached texts, images and the start, with their floors, and write the figures."""
    cache.mkdir(parents=True, exist_ok=True)
    exported = model(cache, precision)
    index = gallery(cache, exported, rows)
    figures: dict[str, Any] = {"rows": rows, "precision": precision, "rounds": rounds, "seconds": seconds}
    figures |= _texts(cache, exported, index, rounds, seconds)
    figures |= _cached(cache, index, rounds, seconds)
    figures |= _images(cache, exported, index, rounds, seconds)
    if peers:
        figures |= _peers(cache, index, peers, rounds, seconds)
    figures |= _starts(index, gallery(cache, exported, many_rows) if many_rows else None)
    figures |= _ratios(figures)
    json_out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(table(figures))


def _texts(cache: Path, exported: Path, index: Path, rounds: int, seconds: float) -> Figures:
    """Distinct texts, and where the time of a request goes."""
    bodies, at = text_bodies(cache), 0
    found: list[Figures] = []
    with serving(index) as served:
        for _ in range(rounds):
            found.append(measured("text", exported, index, seconds))
            for clients in TEXT_CLIENTS:
                run = _load(served, bodies, clients, seconds, at)
                at += int(run["requests"]) + clients
                found.append(_named(f"text_{{}}_{clients}", run))
    return _medians(found)


def _cached(cache: Path, index: Path, rounds: int, seconds: float) -> Figures:
    """A hundred equal texts, in the process and in Redis."""
    bodies = text_bodies(cache, equal=100)
    found = [empty_post(bodies, seconds)]
    with serving(index) as served:
        found += [_named("cached_{}_32", run) for run in _warmed(served, bodies, rounds, seconds)]
    with _redis() as url, serving(index, {**NO_CACHE, "REDIS_URL": url}) as served:
        found += [_named("redis_{}_32", run) for run in _warmed(served, bodies, rounds, seconds)]
    return _medians(found)


def _warmed(served: Served, bodies: Bodies, rounds: int, seconds: float) -> Iterator[Figures]:
    _load(served, bodies, 8, 2, 0)
    yield from (_load(served, bodies, 32, seconds, 0) for _ in range(rounds))


def _images(cache: Path, exported: Path, index: Path, rounds: int, seconds: float) -> Figures:
    """Images, of which none is in a cache."""
    bodies = image_bodies(cache)
    found: list[Figures] = []
    with serving(index, NO_CACHE) as served:
        for number in range(rounds):
            found.append(measured("image", exported, index, seconds))
            found += [_named(f"image_{{}}_{c}", _load(served, bodies, c, seconds, 500 * number)) for c in (1, 8)]
    return _medians(found)


def _peers(cache: Path, index: Path, names: list[str], rounds: int, seconds: float) -> Figures:
    """Ours and theirs by turns, with no cache of ours."""
    if unknown := set(names) - {"infinity"}:
        raise typer.BadParameter(f"the peer {sorted(unknown)[0]!r} is not known; give infinity")
    with serving(index, NO_CACHE) as served:
        return _medians(infinity(cache, text_bodies(cache), served, rounds, seconds))


def _starts(index: Path, many: Path | None) -> Figures:
    """Seconds from the start of the process until it is ready, with the files in the page cache."""
    starts: dict[str, Callable[[], Any]] = {"start_s": partial(serving, index)}
    starts["start_2_workers_s"] = partial(serving, index, None, "--workers", "2")
    if many is not None:
        starts["start_many_rows_s"] = partial(serving, many)
    found: Figures = {}
    for name, start in starts.items():
        with start():
            pass
        with start() as served:
            found[name] = served.ready_s
    return found


def _load(served: Served, bodies: Bodies, clients: int, seconds: float, start: int) -> Figures:
    run = wrk(f"{served.url}/search", bodies, clients=clients, seconds=seconds, start=start)
    if run["failed"]:
        raise SystemExit(f"{run['failed']:.0f} requests of {clients} clients failed")
    return run


def _named(pattern: str, run: Mapping[str, float]) -> Figures:
    return {
        pattern.format(name): run[key] for name, key in (("rps", "rps"), ("p50_ms", "p50_ms"), ("p99_ms", "p99_ms"))
    }


def _medians(found: list[Figures]) -> Figures:
    names = dict.fromkeys(name for figures in found for name in figures)
    return {name: statistics.median(figures[name] for figures in found if name in figures) for name in names}


def _ratios(figures: Mapping[str, float]) -> Figures:
    return {
        **{
            f"text_share_{clients}": figures[f"text_rps_{clients}"] / figures["text_floor_rps"]
            for clients in (8, 32, 64)
        },
        "image_share_8": figures["image_rps_8"] / figures["image_floor_rps"],
        "cached_share_32": figures["cached_rps_32"] / figures["empty_fastapi_rps"],
        "redis_share_32": figures["redis_rps_32"] / figures["empty_fastapi_rps"],
    }


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


def table(figures: Mapping[str, Any]) -> str:
    """The figures for docs/benchmarks.md."""
    lines = ["| | requests/s | p50 ms | p99 ms | share of the floor |", "|---|---:|---:|---:|---:|"]
    names = [
        *(f"text_{{}}_{clients}" for clients in TEXT_CLIENTS),
        "cached_{}_32",
        "redis_{}_32",
        "image_{}_1",
        "image_{}_8",
    ]
    for name in names:
        share = figures.get(name.format("share"))
        rps, p50, p99 = (figures[name.format(part)] for part in ("rps", "p50_ms", "p99_ms"))
        shown = f"{share:.2f}" if share else ""
        lines.append(f"| {name.replace('_{}_', ', clients: ')} | {rps:.0f} | {p50:.1f} | {p99:.1f} | {shown} |")
    for name in (key for key in figures if "infinity_rps" in key):
        lines.append(f"| {name} | {figures[name]:.0f} | | | |")
    for name in ("text_floor_rps", "encode_batches_rps", "search_batches_rps", "image_floor_rps", "empty_fastapi_rps"):
        lines.append(f"| floor: {name.removesuffix('_rps')} | {figures[name]:.0f} | | | |")
    lines += [f"| {name} | {figures[name]:.2f} s | | | |" for name in figures if name.startswith("start")]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
