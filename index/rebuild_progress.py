"""How far a rebuild is, in a file beside its workspace: for whoever looks on from another process or container."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from index.progress import Advance, Track
from model.manifest import write_text_atomically

_EVERY_S = 0.5


class Counted(BaseModel):
    """Items of one kind that are embedded, of how many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    done: int = Field(ge=0)
    total: int = Field(ge=0)


class RebuildProgress(BaseModel):
    """How far a rebuild is; one that was killed leaves its last state, with an old `updated_at`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Literal["embedding", "publishing"]
    started_at: datetime
    updated_at: datetime
    items: dict[str, Counted]


class ProgressFile:
    """Writes the state of one rebuild, seldom enough to cost nothing; counts may come from several threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._started = datetime.now(UTC)
        self._stage: Literal["embedding", "publishing"] = "embedding"
        self._items: dict[str, Counted] = {}
        self._lock = threading.Lock()
        self._written = 0.0

    def follow(self, track: Track) -> Track:
        """As `track`, and what it is told goes into the file as well."""

        def both(name: str, total: int) -> Advance:
            advance = track(name, total)
            self._count(name, Counted(done=0, total=total))

            def counted(count: int) -> None:
                advance(count)
                known = self._items[name]
                self._count(name, Counted(done=known.done + count, total=known.total))

            return counted

        return both

    def publish(self) -> None:
        """Everything is embedded, and the version is being written."""
        self._stage = "publishing"
        self._write()

    def _count(self, name: str, counted: Counted) -> None:
        with self._lock:
            self._items = {**self._items, name: counted}
            if time.monotonic() - self._written >= _EVERY_S:
                self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        state = RebuildProgress(
            stage=self._stage, started_at=self._started, updated_at=datetime.now(UTC), items=self._items
        )
        # Nobody has to look on: a full disk is reported by what cannot do without it.
        with suppress(OSError):
            write_text_atomically(self._file, state.model_dump_json())


@contextmanager
def progress_file(workspace: Path) -> Iterator[ProgressFile]:
    """The file of a rebuild in this workspace, until it ends."""
    file = _beside(workspace)
    try:
        yield ProgressFile(file)
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def read_progress(workspace: Path) -> RebuildProgress | None:
    """The state of the rebuild in this workspace; None where there is none, or nothing of it can be read."""
    try:
        return RebuildProgress.model_validate_json(_beside(workspace).read_bytes())
    except (OSError, ValidationError):
        return None


def _beside(workspace: Path) -> Path:
    return workspace.with_name(f"{workspace.name}.progress.json")
