"""The bounded cache in this process."""

import time
from collections.abc import Callable
from threading import Lock

from cachetools import TTLCache

# Overhead of an entry besides its value: key, list node, timestamps.
_ENTRY_BYTES = 400


class MemoryCache:
    """Evicts the least recently used entries first; thread-safe; bounded in bytes."""

    name = "memory"

    def __init__(self, max_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: TTLCache[str, bytes] = TTLCache(max_bytes, ttl_s, clock, lambda value: len(value) + _ENTRY_BYTES)
        self._lock = Lock()

    @property
    def bytes_held(self) -> int:
        """The size of all entries, overhead included."""
        with self._lock:
            return int(self._entries.currsize)

    async def get(self, key: str) -> bytes | None:
        with self._lock:
            return self._entries.get(key)

    async def put(self, key: str, value: bytes) -> None:
        if len(value) + _ENTRY_BYTES > self._entries.maxsize:
            return
        with self._lock:
            self._entries[key] = value

    async def close(self) -> None:
        with self._lock:
            self._entries.clear()
