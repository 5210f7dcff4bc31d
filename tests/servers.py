"""Real processes for integration tests: `aahr serve` and redis-server, always stopped by their own process object."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import IO

import httpx2
import pytest
from redis import Redis
from redis.exceptions import RedisError

_PATIENCE_S = 60
_SERVE = "import sys; from cli import main; sys.argv[0] = 'aahr'; main()"


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds, or fail with what was waited for."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with create_server(("127.0.0.1", 0)) as socket:
        port: int = socket.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that is told to stop at the end, and killed where it does not."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AAHR_", "REDIS_URL"))}
    process = subprocess.Popen(
        command, env={**inherited, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def served(
    index: Path, environment: Mapping[str, str] | None = None, code: str = _SERVE
) -> Iterator[tuple[httpx2.Client, subprocess.Popen[str]]]:
    """`aahr serve` on a free port, and a client of it, once the line says that it serves."""
    command = [sys.executable, "-c", code, "serve", "--index", str(index), "--port", "0"]
    with running(command, environment) as process:
        assert process.stdout is not None
        address = _announced_address(process.stdout)
        with httpx2.Client(base_url=address, timeout=30, trust_env=False) as client:
            yield client, process


@contextmanager
def redis_server(port: int) -> Iterator[subprocess.Popen[str]]:
    """A real redis-server without persistence on this port; missing, it is a failure in CI and a skip elsewhere."""
    program = shutil.which("redis-server")
    if program is None:
        message = "redis-server is not installed, the cache was NOT tested with it: apt-get install redis-server"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    with running([program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]) as process:
        with Redis(port=port) as client:
            eventually(lambda: _answers(client), "redis-server answers")
        yield process


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def _announced_address(stream: IO[str]) -> str:
    """The address in the line that says that the service is ready; warnings may stand before it."""
    said: list[str] = []
    for line in stream:
        if announced := re.fullmatch(r"Serving .* at (http://\S+)\n", line):
            return announced[1]
        said.append(line)
    pytest.fail("the service did not get ready, it said: " + "".join(said))
