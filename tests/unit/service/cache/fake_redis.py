"""A server that speaks enough of Redis for the cache, in the event loop of the test: as slow as it is told to be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FakeRedis:
    """Answers every command after `delay_s`; `asked` counts the commands that read or write keys."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.asked = 0
        self.connections = 0
        self._values: dict[bytes, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the client ends it."""
        self.connections += 1
        try:
            while line := await reader.readline():
                answer = self._answer([await _argument(reader) for _ in range(int(line[1:]))])
                await asyncio.sleep(self.delay_s)
                writer.write(answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, command: list[bytes]) -> bytes:
        name = command[0].upper()
        self.asked += name in (b"MGET", b"SET")
        if name == b"PING":
            return b"+PONG\r\n"
        if name == b"SET":
            self._values[command[1]] = command[2]
        if name != b"MGET":
            return b"+OK\r\n"
        values = [self._values.get(key) for key in command[1:]]
        parts = [b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value) for value in values]
        return b"*%d\r\n" % len(parts) + b"".join(parts)


@asynccontextmanager
async def fake_redis() -> AsyncIterator[tuple[FakeRedis, str]]:
    """A server and its URL."""
    fake = FakeRedis()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield fake, f"redis://127.0.0.1:{port}/0?protocol=2"
    finally:
        server.close()


async def _argument(reader: asyncio.StreamReader) -> bytes:
    length = int((await reader.readline())[1:])
    return (await reader.readexactly(length + 2))[:-2]
