"""The right to write to an index directory: one process at a time, and faults of the disk told apart."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np

from index.items import Rows
from model.errors import ArtifactBusy, ArtifactError, not_written

_LOCK = ".lock"
# What an index directory has once it was written to, as `index.catalog` names it.
_OWN = ("CURRENT", "versions")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory for one change; the lock goes with the process, however that ends.

    Raises ArtifactBusy where another process holds it, StorageFull where there is no room, and ArtifactError where the
    directory holds something that is not an index, and where it cannot be written to.
    """
    _refuse_foreign(directory)
    with _reporting(directory):
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / _LOCK).open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            writer = file.read().strip() or "?"
            raise ArtifactBusy(
                f"{directory} is being changed by process {writer}; wait until that has ended"
            ) from error
        with _reporting(directory):
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
            yield


def save_rows(path: Path, rows: Rows) -> None:
    """Numbers of rows as an array of NumPy; unlike `np.save` to a path, it says why it fails."""
    buffer = BytesIO()
    np.save(buffer, rows.astype(np.int64))
    path.write_bytes(buffer.getbuffer())


def _refuse_foreign(directory: Path) -> None:
    """`--out ~/Pictures` must not mix an index into what lies there."""
    if not directory.is_dir() or any((directory / name).exists() for name in _OWN):
        return
    foreign = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    if foreign:
        raise ArtifactError(f"{directory} is not an index: it holds {foreign[0]!r:.80}; give an empty or a new folder")


@contextmanager
def _reporting(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"{directory} cannot be written to: {reason}; make room or give another folder"
        raise not_written(message, error) from error
