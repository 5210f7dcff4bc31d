"""The figures of serving.py as a table for docs/benchmarks.md; what was not measured is left out."""

from collections.abc import Iterator, Mapping
from typing import Any

# What a row is called, the pattern of its figures, and that of its share of a floor or of its multiple of a peer.
_SERVED = (
    *((f"distinct texts, clients: {c}", f"text_{{}}_{c}", f"text_share_{c}") for c in (1, 8, 32, 64)),
    ("equal texts in process, clients: 32", "cached_{}_32", "cached_share_32"),
    ("equal texts in Redis, clients: 32", "redis_{}_32", "redis_share_32"),
    ("images, clients: 1", "image_{}_1", ""),
    ("images, clients: 8", "image_{}_8", "image_share_8"),
    ("floor: a FastAPI route that does nothing, clients: 32", "empty_fastapi_{}", ""),
)
_PEERS = (
    *((name, c, f"{name}_{{}}_{c}") for name in ("infinity", "beside_infinity") for c in (1, 8, 32)),
    *((name, c, f"{name}_{{}}_{c}") for name in ("clip_retrieval", "beside_clip_retrieval") for c in (1, 8)),
)
_FLOORS = {
    "text_floor_rps": "encode and search, batches of 16, a thread a core",
    "encode_batches_rps": "encode alone, batches of 16, a thread a core",
    "search_batches_rps": "search alone, batches of 16, a thread a core",
    "image_floor_rps": "decode, prepare and encode images in pairs, a thread a core",
    "ort_text_rps_1x1": "bare ONNX Runtime, texts one by one, one thread",
    "ort_text_rps_16x1": "bare ONNX Runtime, texts in batches of 16, one thread",
    "ort_text_rps_32x1": "bare ONNX Runtime, texts in batches of 32, one thread",
    "ort_text_rps_16x2": "bare ONNX Runtime, texts in batches of 16, two threads",
    "ort_text_rps_32x2": "bare ONNX Runtime, texts in batches of 32, two threads",
    "ort_image_rps_1x1": "bare ONNX Runtime, prepared images one by one, one thread",
    "ort_image_rps_4x2": "bare ONNX Runtime, prepared images in fours, two threads",
}


def table(figures: Mapping[str, Any]) -> str:
    """Markdown with requests a second, latencies and shares."""
    return "\n".join([*_rows(figures), *_starts(figures)])


def _rows(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "| | requests/s | lowest to highest | p50 ms | p99 ms | share of the floor |"
    yield "|---|---:|---:|---:|---:|---:|"
    for label, pattern, share in _SERVED:
        yield from _row(figures, label, pattern, f"{figures[share]:.2f}" if share in figures else "")
    for name, clients, pattern in _PEERS:
        times = figures.get(f"{name.removeprefix('beside_')}_times_{clients}")
        shown = f"{times:.1f} × the peer" if times and name.startswith("beside_") else ""
        yield from _row(figures, f"{name.replace('_', ' ')}, clients: {clients}", pattern, shown)
    for name, label in _FLOORS.items():
        yield from _row(figures, f"floor: {label}", name, "")


def _row(figures: Mapping[str, Any], label: str, pattern: str, last: str) -> Iterator[str]:
    rps = pattern.format("rps")
    if rps in figures:
        spread = f"{figures['lowest'][rps]:.0f} to {figures['highest'][rps]:.0f}"
        p50, p99 = (_milliseconds(figures, pattern, part) for part in ("p50_ms", "p99_ms"))
        yield f"| {label} | {figures[rps]:.0f} | {spread} | {p50} | {p99} | {last} |"


def _milliseconds(figures: Mapping[str, Any], pattern: str, part: str) -> str:
    name = pattern.format(part)
    return f"{figures[name]:.1f}" if name != pattern and name in figures else ""


def _starts(figures: Mapping[str, Any]) -> Iterator[str]:
    for name in ("start_s", "start_2_workers_s", "start_many_rows_s"):
        if name in figures:
            yield f"| {name.removesuffix('_s').replace('_', ' ')} | {figures[name]:.2f} s | | | | |"
