"""What the benchmarks of the service share: `aahr serve` as a process, and wrk as its clients."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from typing import Any

from places import ROOT

_READY_WITHIN_S = 120
# Each line of the file is a request body; a run starts at a line of its own, so that no body is sent twice.
_LUA = """
local bodies, at, headers = {}, 0, {}
init = function(args)
  for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
  at = tonumber(args[2])
  headers["Content-Type"] = args[3]
end
request = function()
  at = at + 1
  return wrk.format("POST", wrk.path, headers, bodies[(at - 1) % #bodies + 1])
end
"""
# Bodies of any bytes, each after its length as eight digits.
_LUA_BINARY = """
local bodies, at, headers = {}, 0, {}
init = function(args)
  local file = io.open(args[1], "rb")
  while true do
    local size = file:read(8)
    if not size then break end
    bodies[#bodies + 1] = file:read(tonumber(size))
  end
  at = tonumber(args[2])
  headers["Content-Type"] = args[3]
end
request = function()
  at = at + 1
  return wrk.format("POST", wrk.path, headers, bodies[(at - 1) % #bodies + 1])
end
"""
_REPORT = """
done = function(summary, latency)
  local errors = summary.errors
  print(string.format(
    'JSON{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, "failed": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Bodies:
    """Request bodies in a file: one a line, or each after its length."""

    file: Path
    content_type: str = "application/json"
    binary: bool = False


@dataclass(frozen=True)
class Served:
    """A running service; `ready_s` are seconds from its start until it answered that it is ready."""

    url: str
    pid: int
    ready_s: float


def busy_cores(seconds: float = 2.0) -> float:
    """How many cores other processes keep busy now; figures of a machine that is not idle are of little use."""
    before = _processor_ticks()
    time.sleep(seconds)
    busy, total = (now - was for now, was in zip(_processor_ticks(), before, strict=True))
    return (os.cpu_count() or 1) * busy / max(total, 1)


def _processor_ticks() -> tuple[int, int]:
    """Busy and all ticks of all cores since the machine started; waiting for a disk is not busy."""
    ticks = [int(value) for value in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(index: Path, settings: Mapping[str, str] | None = None, *arguments: str) -> Iterator[Served]:
    """`aahr serve` on a free port of this machine; ends with the block."""
    port = free_port()
    command = [sys.executable, "-P", "-m", "cli", "serve", "--index", str(index), "--port", str(port), *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AAHR_", "REDIS_URL"))}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env={**inherited, "PYTHONPATH": str(ROOT), **(settings or {})}, stdout=subprocess.DEVNULL
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health/ready", process)
        yield Served(f"http://127.0.0.1:{port}", process.pid, time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[Any]) -> None:
    """Ask until the answer is 200; ends the benchmark where the process ends or nothing answers in two minutes."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server at {url} ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"the server at {url} was not ready in {_READY_WITHIN_S} s")


def wrk(url: str, bodies: Bodies, *, clients: int, seconds: float, start: int = 0) -> dict[str, float]:
    """Requests a second, latencies in milliseconds and failed requests of so many clients, each waiting for its answer.

    wrk runs on one thread; `start` is the body that is sent first.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write((_LUA_BINARY if bodies.binary else _LUA) + _REPORT)
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "30s", "-s", script.name, url, "--"]
        arguments = [str(bodies.file), str(start), bodies.content_type]
        printed = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(printed.partition("JSON")[2].splitlines()[0])
    return {**found, "rps": found["requests"] / found["seconds"]}
