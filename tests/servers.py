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
from tempfile import TemporaryDirectory

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


class Running(subprocess.Popen[str]):
    """A process that writes into a file: a pipe that nobody reads stops a server as soon as its log fills it."""

    def __init__(self, command: list[str], environment: Mapping[str, str], output: Path) -> None:
        self._output = output
        with output.open("w", encoding="utf-8") as file:
            super().__init__(command, env=environment, stdout=file, stderr=subprocess.STDOUT, text=True)

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._output.read_text(encoding="utf-8")


@contextmanager
def running(command: list[str], environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A process that is told to stop at the end, and killed where it does not."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AAHR_", "REDIS_URL"))}
    with TemporaryDirectory() as folder:
        process = Running(command, {**inherited, **(environment or {})}, Path(folder) / "output.txt")
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def served(
    index: Path, environment: Mapping[str, str] | None = None, code: str = _SERVE
) -> Iterator[tuple[httpx2.Client, Running]]:
    """`aahr serve` on a free port, and a client of it, once the line says that it serves."""
    command = [sys.executable, "-c", code, "serve", "--index", str(index), "--port", "0"]
    with running(command, environment) as process:
        eventually(lambda: _announced(process) is not None or process.poll() is not None, "the service is ready")
        address = _announced(process)
        if address is None:
            pytest.fail(f"the service did not get ready, it said: {process.output}")
        with httpx2.Client(base_url=address, timeout=30, trust_env=False) as client:
            yield client, process


@contextmanager
def redis_server(port: int) -> Iterator[Running]:
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


def _announced(process: Running) -> str | None:
    """The address in the line that says that the service is ready; warnings may stand before it."""
    announced = re.search(r"^Serving .* at (http://\S+)\n", process.output, re.MULTILINE)
    return None if announced is None else announced[1]
