"""Stores in files of Milvus Lite for tests, and clients that die."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from milvus_lite.server_manager import server_manager_instance

from index.collection.milvus.location import parse_location
from index.collection.milvus.store import MilvusStore

WRITES = frozenset(
    {
        "create_collection",
        "create_index",
        "drop_collection",
        "insert",
        "upsert",
        "flush",
        "create_alias",
        "alter_alias",
    }
)


class Killed(BaseException):
    """The process is gone: nothing handles this, and no call comes after it."""


class DyingClient:
    """A client whose writes end with the one of number `last`: what comes after it raises, or calls `die`."""

    def __init__(self, client: Any, last: int, die: Callable[[], None] | None = None) -> None:
        self._client = client
        self._left = last
        self._die = die
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return (lambda *args, **kwargs: self._called(name, method, *args, **kwargs)) if callable(method) else method

    def _called(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name in WRITES:
            self.dead = self.dead or self._left == 0
            self._left -= 1
        if self.dead:
            if self._die is not None:
                self._die()
            raise Killed
        return method(*args, **kwargs)


def lite_store(path: Path, index_kind: str = "FLAT") -> MilvusStore:
    """The store in a file."""
    return MilvusStore(parse_location(str(path)), index_kind)


def dying_store(path: Path, last: int, die: Callable[[], None] | None = None) -> tuple[MilvusStore, DyingClient]:
    """The store in a file, with a client that dies after `last` writes."""
    store = lite_store(path)
    client = DyingClient(store._connection._client, last, die)
    store._connection._client = client
    return store, client


@contextmanager
def served(folder: Path) -> Iterator[Path]:
    """A file of Milvus Lite in a folder; what serves it ends with the block."""
    path = folder / "gallery.db"
    try:
        yield path
    finally:
        server_manager_instance.release_server(str(path))
