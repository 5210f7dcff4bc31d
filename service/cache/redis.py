"""The cache that replicas share. Most of the cost of Redis is per command, so that one command serves many keys."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice, zip_longest

from redis.asyncio import Redis

from service.cache.link import PAUSE_S, SLOW_S, TIMEOUT_S, RedisLink
from service.cache.stored import pack, unpack
from service.obs.observers import CacheObserver

NAMESPACE = "aahr:"
# Answers that were cached together must not all expire together.
JITTER = 0.1
# Commands under way at once. Keys that come meanwhile are one command afterwards.
READERS = 2
_CONNECTIONS = READERS + 1
_KEYS_A_COMMAND = 64
_BYTES_A_COMMAND = 1_000_000
MAX_UNWRITTEN_BYTES = 16_000_000

Answer = asyncio.Future[bytes | None]


class RedisCache:
    """Reads wait for Redis for a moment at most; nobody waits for writes, which are dropped where too many are due."""

    name = "redis"

    def __init__(
        self,
        url: str,
        ttl_s: int,
        *,
        timeout_s: float = TIMEOUT_S,
        slow_s: float = SLOW_S,
        pause_s: float = PAUSE_S,
        observer: CacheObserver | None = None,
    ) -> None:
        """Raises ConfigError for an unusable URL; does not connect yet."""
        self._ttl_s = ttl_s
        self._link = RedisLink(
            url, connections=_CONNECTIONS, timeout_s=timeout_s, slow_s=slow_s, pause_s=pause_s, observer=observer
        )
        self._wanted: dict[str, list[Answer]] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._reading = 0
        self._reader_due = False
        self._unwritten: dict[str, bytes] = {}
        self._unwritten_bytes = 0
        self._writer: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes | None:
        """The value; None where there is none, or Redis does not answer."""
        if not self._reader_due and self._reading < READERS:
            self._start_reader()
        answer: Answer = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(key, []).append(answer)
        return await answer

    async def put(self, key: str, value: bytes) -> None:
        """Returns before the value is written."""
        if not self._link.in_use or self._unwritten_bytes + len(value) > MAX_UNWRITTEN_BYTES:
            return
        stored = pack(key, value)
        self._unwritten_bytes += len(stored) - len(self._unwritten.get(key, b""))
        self._unwritten[key] = stored
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._write())

    async def flush(self) -> None:
        """Wait until all that was put is written, or given up."""
        if self._writer is not None:
            await self._writer

    async def close(self) -> None:
        """Write what is due, and close the connections."""
        await self.flush()
        await asyncio.gather(*self._readers)
        await self._link.close()

    def _start_reader(self) -> None:
        """It runs in the next turn of the loop, and takes along what is wanted by then."""
        self._reader_due = True
        self._reading += 1
        reader = asyncio.ensure_future(self._read())
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)

    async def _read(self) -> None:
        """Answer what is wanted, until nothing is."""
        self._reader_due = False
        try:
            while self._wanted:
                keys = list(islice(self._wanted, _KEYS_A_COMMAND))
                await self._read_keys({key: self._wanted.pop(key) for key in keys})
        finally:
            self._reading -= 1

    async def _read_keys(self, wanted: Mapping[str, Sequence[Answer]]) -> None:
        keys = [NAMESPACE + key for key in wanted]
        values: Sequence[object] = ()
        try:
            found = await self._link.ask(lambda redis: redis.mget(keys))
            values = found if isinstance(found, list) else ()
        finally:
            for (key, answers), stored in zip_longest(wanted.items(), values[: len(keys)]):
                value = unpack(key, stored)
                for answer in answers:
                    if not answer.done():  # whoever asked may have left
                        answer.set_result(value)

    async def _write(self) -> None:
        """Write what is due, until nothing is."""
        while self._unwritten:
            due = self._take_due()
            await self._link.ask(partial(self._store, due))

    def _take_due(self) -> dict[str, bytes]:
        due: dict[str, bytes] = {}
        size = 0
        while self._unwritten and len(due) < _KEYS_A_COMMAND and size < _BYTES_A_COMMAND:
            key = next(iter(self._unwritten))
            due[key] = self._unwritten.pop(key)
            size += len(due[key])
        self._unwritten_bytes -= size
        return due

    async def _store(self, due: Mapping[str, bytes], redis: Redis) -> object:
        async with redis.pipeline(transaction=False) as pipeline:
            for key, stored in due.items():
                ttl_ms = int(1000 * self._ttl_s * random.uniform(1 - JITTER, 1 + JITTER))
                pipeline.set(NAMESPACE + key, stored, px=ttl_ms)
            return await pipeline.execute()
