"""One writer at a time: a collection that only the first one can create.

Milvus has no locks, but of two clients that create a collection of one name with different fields one is refused. So
the owner is written into the name of a field, where it is there from the first moment on.
"""

import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from index.collection.milvus.connection import Connection
from model.errors import AahrError, ArtifactBusy, ArtifactError

# A writer on another machine that began so long ago is taken for dead. Should it live, it notices before it publishes.
LEASE_SECONDS = 6 * 3600

_OWNER = re.compile(r"owner_(?P<nonce>[0-9a-f]{16})_(?P<pid>\d+)_(?P<since>\d+)_(?P<host>\w*)")
_held: set[str] = set()  # The nonces of this process, which tell its writers from those of an earlier one of its pid.


@dataclass(frozen=True, slots=True)
class WriterLock:
    """A held lock; `check` before each write."""

    connection: Connection
    name: str
    owner: str

    def check(self) -> None:
        """Raise ArtifactError where another writer has taken the lock."""
        if _owner(self.connection, self.name) != self.owner:
            raise ArtifactError(
                f"{self.connection.location} was taken over by another writer, since this one took more than "
                f"{LEASE_SECONDS // 3600} hours; nothing was published: run the change again"
            )


@contextmanager
def writer_lock(connection: Connection, store: str) -> Iterator[WriterLock]:
    """Hold a store for one change; raises ArtifactBusy that names the writer that holds it already."""
    name = f"{store}_writer"
    nonce = secrets.token_hex(8)
    lock = WriterLock(connection, name, f"owner_{nonce}_{os.getpid()}_{int(time.time())}_{_host()}")
    _held.add(nonce)
    try:
        _acquire(lock)
        try:
            yield lock
        finally:
            # What remains of a lock whose process has ended holds nobody up.
            with suppress(AahrError):
                if _owner(connection, name) == lock.owner:
                    connection.drop(name)
    finally:
        _held.discard(nonce)


def _acquire(lock: WriterLock) -> None:
    holder = _owner(lock.connection, lock.name)
    if holder is not None:
        if _is_alive(holder):
            raise _refusal(lock, holder)
        lock.connection.drop(lock.name)
    fields: list[Mapping[str, Any]] = [
        {"field_name": "pk", "datatype": "VARCHAR", "max_length": 64, "is_primary": True},
        {"field_name": lock.owner, "datatype": "BOOL"},
        {"field_name": "vector", "datatype": "FLOAT_VECTOR", "dim": 2},
    ]
    try:
        lock.connection.create(lock.name, fields, [])
    except AahrError:
        if _owner(lock.connection, lock.name) in (None, holder):
            raise
    holder = _owner(lock.connection, lock.name)
    if holder != lock.owner:
        raise _refusal(lock, holder or "")


def _owner(connection: Connection, name: str) -> str | None:
    if name not in connection.collections():
        return None
    return next((field for field in connection.field_names(name) if field.startswith("owner_")), "")


def _refusal(lock: WriterLock, holder: str) -> ArtifactBusy:
    match = _OWNER.fullmatch(holder)
    if match is None:
        return ArtifactBusy(f"{lock.connection.location} is being changed; try again when that has ended")
    since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(int(match["since"])))
    return ArtifactBusy(
        f"{lock.connection.location} is being changed by process {match['pid']} on {match['host']} since {since}; wait "
        f"until that has ended, or, if it is gone, drop the Milvus collection {lock.name}"
    )


def _is_alive(holder: str) -> bool:
    match = _OWNER.fullmatch(holder)
    if match is None:
        return False
    if match["host"] != _host():
        return time.time() - int(match["since"]) <= LEASE_SECONDS
    if int(match["pid"]) == os.getpid():
        return match["nonce"] in _held
    try:
        os.kill(int(match["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    """The name of this machine, as far as a field can have it in its name."""
    return re.sub(r"\W", "_", socket.gethostname(), flags=re.ASCII)[:100]
