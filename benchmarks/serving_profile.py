"""Where the time of a request goes: its stages as the service counts them, and the frames that keep the cores busy.

Stages come from /metrics, processor time of the event loop and of the other threads from /proc. py-spy, in a virtual
environment of its own, then samples a second run, so that what it costs is in no other figure. A sample belongs to the
package of its innermost Python frame. Requests of one batch each have the time of the whole batch as their stage.
"""

import os
import re
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from http_load import Served
from serving_peers import install

_TICKS = os.sysconf("SC_CLK_TCK")
_SERIES = re.compile(r'aahr_(stage|batch)_(?:duration_seconds|size)_(sum|count)\{\w+="(\w+)"\} (\S+)')
_FRAME = re.compile(r"(?P<function>\S+) \((?P<file>[^:()]+)(:\d+)?\)$")
# Our own packages are told apart by room, as service/api; others by name.
_ROOMS = {"service": 2, "index": 2, "model": 2}
_LEAST_SHARE = 0.01

Counts = dict[tuple[str, str], float]

Load = Callable[[], dict[str, float]]


def profiled(cache: Path, served: Served, load: Load, seconds: float) -> dict[str, Any]:
    """Milliseconds a request by stage, mean sizes of batches, processor time a request, and shares of the samples."""
    before, cpu_before = _counted(served.url), _cpu_s(served.pid)
    run = load()
    counted, cpu = _counted(served.url), _cpu_s(served.pid)
    sums, counts = (
        {key: value - was[key] for key, value in now.items()} for was, now in zip(before, counted, strict=True)
    )
    requests = max(run["requests"], 1)
    return {
        "rps": run["rps"],
        "p50_ms": run["p50_ms"],
        "stage_ms": {name: 1e3 * sums["stage", name] / requests for kind, name in counts if kind == "stage"},
        "batch_size": {key[1]: sums[key] / count for key, count in counts.items() if key[0] == "batch" and count},
        "cpu_ms_a_request": {name: 1e3 * (cpu[name] - cpu_before[name]) / requests for name in cpu},
        "shares": _sampled(cache, served.pid, load, seconds),
    }


def _counted(url: str) -> tuple[Counts, Counts]:
    """Sums and counts of the histograms of stages, in seconds, and of batches, in items."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        found = _SERIES.findall(response.read().decode())
    sums, counts = (
        {(kind, name): float(value) for kind, part, name, value in found if part == wanted}
        for wanted in ("sum", "count")
    )
    return sums, counts


def _cpu_s(pid: int) -> dict[str, float]:
    """Seconds of processor time of the event loop, which is the first thread, and of all others together."""
    found = {"event_loop": 0.0, "workers": 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(") ")[2].split()
        name = "event_loop" if task.name == str(pid) else "workers"
        found[name] += (int(fields[11]) + int(fields[12])) / _TICKS
    return found


def _sampled(cache: Path, pid: int, load: Load, seconds: float) -> dict[str, float]:
    """Shares of all samples by thread and package, the largest first."""
    place, file = cache / "peers" / "py-spy", cache / "profile.txt"
    install(place, ("py-spy",))
    options = ["--format", "raw", "--threads", "--nonblocking", "--rate", "200", "--duration", f"{seconds:.0f}"]
    command = [str(place / "bin" / "py-spy"), "record", *options, "--pid", str(pid), "--output", str(file)]
    sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    load()
    _, said = sampler.communicate()
    if sampler.returncode:
        raise SystemExit(f"py-spy could not sample the service: {said}")
    return shares(file.read_text(encoding="utf-8").splitlines())


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Shares of stacks, lines of `thread;frame;…;frame count`, by kind of thread and package of the last frame."""
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        where = "event loop" if "MainThread" in thread else "workers"
        counts[f"{where}: {package_of(frames[-1] if frames else '')}"] += int(count)
    total = max(counts.total(), 1)
    return {name: count / total for name, count in counts.most_common() if count / total >= _LEAST_SHARE}


def package_of(frame: str) -> str:
    """The package of a frame such as `encode (model/runtime.py:80)`, or the room of ours: here "model/runtime"."""
    found = _FRAME.search(frame)
    if found is None:
        return "unknown"
    parts = found["file"].removesuffix(".py").split("/")
    return "/".join(parts[: _ROOMS.get(parts[0], 1)])


def profile_table(profiles: dict[str, dict[str, Any]]) -> str:
    """Two tables for docs/benchmarks.md: stages with processor time, and shares."""
    lines = ["| | stages, ms a request | items a batch | event loop, ms of a core | workers, ms of a core |"]
    lines.append("|---|---|---|---:|---:|")
    for name, found in profiles.items():
        stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in found["stage_ms"].items() if ms >= 0.005)
        batches = ", ".join(f"{owner} {size:.1f}" for owner, size in found["batch_size"].items())
        cpu = found["cpu_ms_a_request"]
        lines.append(f"| {name} | {stages} | {batches} | {cpu['event_loop']:.2f} | {cpu['workers']:.2f} |")
    lines += ["", "| | share of the samples of busy threads |", "|---|---|"]
    for name, found in profiles.items():
        parts = ", ".join(f"{where} {100 * share:.0f} %" for where, share in found["shares"].items())
        lines.append(f"| {name} | {parts} |")
    return "\n".join(lines)
