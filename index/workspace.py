"""A folder for what a rebuild has embedded and not published yet: it outlives the process; one user at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.errors import ArtifactError


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """Hold the folder for one rebuild; the lock goes with the process, however that ends.

    Raises ArtifactError where another process holds it and where it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder.with_name(f"{folder.name}.lock").open("a+")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{folder} cannot be written to: {reason}; make room or give another folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ArtifactError(
                f"{folder.parent} is being rebuilt by process {file.read().strip() or '?'}; wait until that has ended"
            ) from error
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        yield folder
