"""The directory through which several worker processes share their metrics, as the parent process sees it.

The parent empties the directory, sets `PROMETHEUS_MULTIPROC_DIR` to it, then starts the workers: prometheus_client
decides when it is first imported whether values live in the process or in files of this directory. Nothing here imports
it before it is needed, so that the parent may set the variable after importing this module.
"""

import os
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PATTERNS = ("*.db", "generation_*.json")


def shared_directory() -> Path | None:
    """The directory that the workers share; None where this process is the only one."""
    directory = os.environ.get(VARIABLE)
    return Path(directory) if directory else None


def prepare_directory(directory: Path) -> None:
    """Make the directory, or empty it of the metrics of an earlier run, before the first worker is started.

    Raises OSError where that is not possible.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for pattern in _PATTERNS:
        for file in directory.glob(pattern):
            file.unlink()


def generation_file(directory: Path, pid: int) -> Path:
    """Where a worker says which generation it serves."""
    return directory / f"generation_{pid}.json"


def forget_worker(directory: Path, pid: int) -> None:
    """Drop the gauges of a worker that has ended; what it has counted stays, so that no counter goes backwards."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]
    generation_file(directory, pid).unlink(missing_ok=True)
