"""A real redis-server with a password behind a proxy of this process, and everything that can be wrong with it.

A fault is a context: it begins with the block and is cured at its end.
"""

import asyncio
import itertools
import os
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from socket import SO_LINGER, SOL_SOCKET

from redis import Redis
from redis.exceptions import RedisError

from tests.servers import free_port

PASSWORD = "right"
_RUBBISH = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n",  # another kind of server
    b":7\r\n",  # another type
    b"*1\r\n*1\r\n+deep\r\n",
    b"*1\r\n$5\r\nwrong\r\n",  # a value that is not ours
    b"*1\r\n$9999999999\r\nhuge",
    b"*999999\r\n",
    b"*1\r\n$400\r\ncut off",
    b"\x00\xff" * 5000,
)


class Proxy:
    """Passes on what is sent both ways, late, or with rubbish or a reset in place of an answer."""

    def __init__(self, target: int) -> None:
        self.delay_s = 0.0
        self.rubbish = False
        self.resets = False
        self.port = 0
        self._target = target
        self._rubbish = itertools.cycle(_RUBBISH)
        self._end: Callable[[], object] = lambda: None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread of its own."""
        ready = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        thread.start()
        ready.wait(10)
        try:
            yield
        finally:
            self._end()
            thread.join()

    async def _serve(self, ready: threading.Event) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._end = lambda: loop.call_soon_threadsafe(ended.set)
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await ended.wait()
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, commands = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_answers(answers, writer))
                await self._pass_commands(reader, writer, commands)
                raise ConnectionError
        except* OSError:
            pass
        finally:
            writer.close()
            commands.close()

    async def _pass_commands(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: asyncio.StreamWriter
    ) -> None:
        while command := await reader.read(65536):
            if self.resets:
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                return
            if self.rubbish:
                writer.write(next(self._rubbish))
            else:
                commands.write(command)

    async def _pass_answers(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await answers.read(65536):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(answer)
        raise ConnectionError


class FaultyRedis:
    """The server and its proxy, which `url` leads to."""

    def __init__(self) -> None:
        self.port = free_port()
        self.proxy = Proxy(self.port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Through the proxy."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.proxy.port}/0"

    @property
    def pid(self) -> int:
        """Of the server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start an empty server, and wait until it answers."""
        options = {"--port": str(self.port), "--bind": "127.0.0.1", "--save": "", "--requirepass": PASSWORD}
        command = ["redis-server", "--appendonly", "no", *(part for option in options.items() for part in option)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill the server."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def client(self) -> Redis:
        """A client that does not go through the proxy."""
        return Redis(port=self.port, password=PASSWORD)

    def lookups(self) -> int:
        """How many keys were looked up since the server started."""
        with self.client() as client:
            stats = client.info("stats")
        return int(stats["keyspace_hits"] + stats["keyspace_misses"])

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def faulty_redis() -> Iterator[FaultyRedis]:
    """A server that works until a fault begins."""
    redis = FaultyRedis()
    redis.start()
    with ExitStack() as stack:
        stack.callback(redis.stop)
        stack.enter_context(redis.proxy.running())
        yield redis


@contextmanager
def killed(redis: FaultyRedis) -> Iterator[None]:
    """Killed; an empty one is started afterwards."""
    redis.stop()
    yield
    redis.start()


@contextmanager
def restarted(redis: FaultyRedis) -> Iterator[None]:
    """Killed, and back at once without what it held."""
    redis.stop()
    redis.start()
    yield


@contextmanager
def paused(redis: FaultyRedis) -> Iterator[None]:
    """Takes connections and commands, and answers nothing."""
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis.pid, signal.SIGCONT)


@contextmanager
def full(redis: FaultyRedis) -> Iterator[None]:
    """Holds nothing of ours, and refuses every write."""
    with redis.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        client.flushall()
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@contextmanager
def wrong_password(redis: FaultyRedis) -> Iterator[None]:
    """Wants another password than the one we have."""
    with redis.client() as client:
        client.config_set("requirepass", "changed")
        client.client_kill_filter(_type="normal", skipme=True)
        try:
            yield
        finally:
            client.config_set("requirepass", PASSWORD)


@contextmanager
def rubbish(redis: FaultyRedis) -> Iterator[None]:
    """Answers with anything but what was asked for."""
    redis.proxy.rubbish = True
    yield
    redis.proxy.rubbish = False


@contextmanager
def wrong_types(redis: FaultyRedis) -> Iterator[None]:
    """Holds a list under each of our keys."""
    with redis.client() as client:
        for key in client.keys("aahr:*"):
            client.delete(key)
            client.lpush(key, "a list")
    yield


@contextmanager
def resets(redis: FaultyRedis) -> Iterator[None]:
    """Every connection is reset with its first command."""
    redis.proxy.resets = True
    yield
    redis.proxy.resets = False


def slow(delay_s: float) -> Callable[[FaultyRedis], AbstractContextManager[None]]:
    """Every answer comes so many seconds late."""

    @contextmanager
    def fault(redis: FaultyRedis) -> Iterator[None]:
        redis.proxy.delay_s = delay_s
        yield
        redis.proxy.delay_s = 0.0

    return fault


FAULTS: Mapping[str, Callable[[FaultyRedis], AbstractContextManager[None]]] = {
    "killed": killed,
    "restarted": restarted,
    "paused": paused,
    "200 ms late": slow(0.2),
    "30 ms late": slow(0.03),
    "full": full,
    "rubbish": rubbish,
    "wrong types": wrong_types,
    "resets": resets,
    "wrong password": wrong_password,
}
