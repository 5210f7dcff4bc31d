"""`descriptions.jsonl` while it is written: whenever the process ends, all lines but perhaps the last are whole."""

import fcntl
import os
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from model.descriptions.file import Description, Source, as_lines, read_descriptions, read_lines
from model.errors import AahrError, ArtifactBusy, ArtifactMismatch, DataError, not_written
from model.replacement import fsync_path

Key = tuple[str, int | str | None]

_SYNC_EVERY_S = 5.0
_BEGINNING = b'{"image":'
_BLOCK = 2**16


class ResumableFile:
    """A file of descriptions by one describer that is added to; no other process writes to it meanwhile.

    `recorded` has the SHA-256 of the described image for each line that is there.
    """

    def __init__(self, path: Path, source: Source, *, overwrite: bool = False) -> None:
        """Open or create the file; a last line that a kill has torn is dropped.

        With `overwrite` what is there is discarded, whatever it is, once there is a line to put in its place. Raises
        ArtifactMismatch for descriptions by another describer or prompt, DataError for a file of something else,
        ArtifactBusy where another process writes to it, and ArtifactError where it cannot be written.
        """
        self.path = path
        self.recorded: dict[Key, str] = {}
        self._descriptor = _locked(path)
        self._discard = overwrite
        try:
            if not overwrite:
                _drop_torn_line(self._descriptor, path)
                self.recorded = _recorded(self._descriptor, path, source)
        except OSError as error:
            os.close(self._descriptor)
            raise _fault(path, error) from error
        except AahrError:
            os.close(self._descriptor)
            raise
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Have everything on disk, and leave no empty file behind."""
        try:
            os.fsync(self._descriptor)
            if not os.fstat(self._descriptor).st_size:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)

    def add(self, description: Description) -> None:
        """Append a line in one step; every few seconds all are on disk. Raises ArtifactError where there is no room."""
        if self._discard:
            os.ftruncate(self._descriptor, 0)
            self._discard = False
        line, size = memoryview(as_lines([description]).encode()), os.fstat(self._descriptor).st_size
        try:
            while line:  # once, but on a disk that is nearly full
                line = line[os.write(self._descriptor, line) :]
            if time.monotonic() - self._synced > _SYNC_EVERY_S:
                os.fsync(self._descriptor)
                self._synced = time.monotonic()
        except OSError as error:
            os.ftruncate(self._descriptor, size)
            raise _fault(self.path, error) from error
        self.recorded[description.key] = description.image_sha256

    def drop(self, keys: Collection[Key]) -> None:
        """Write the file anew without some lines, and put it in place at once; raises ArtifactError."""
        if not keys:
            return
        staging = self.path.with_name(f".{self.path.name}.tmp")
        try:
            descriptor = os.open(staging, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                with open(descriptor, "w", encoding="utf-8", newline="\n", closefd=False) as file:
                    file.writelines(as_lines([line]) for line in read_lines(self.path) if line.key not in keys)
                os.fsync(descriptor)
                os.replace(staging, self.path)
            except BaseException:
                os.close(descriptor)
                staging.unlink(missing_ok=True)
                raise
            os.close(self._descriptor)
            self._descriptor = descriptor
            fsync_path(self.path.parent)
        except OSError as error:
            raise _fault(self.path, error) from error
        for key in keys:
            self.recorded.pop(key, None)


def _locked(path: Path) -> int:
    """A descriptor for appending that holds the lock of the file which has this name now."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            except BlockingIOError as error:
                os.close(descriptor)
                raise ArtifactBusy(f"{path} is being written by another process; wait until that has ended") from error
            os.close(descriptor)  # another process has put a new file in its place
    except OSError as error:
        raise _fault(path, error) from error


def _drop_torn_line(descriptor: int, path: Path) -> None:
    """Cut off what stands behind the last end of a line, or end that line where it is whole."""
    size = os.fstat(descriptor).st_size
    start = _start_of_last_line(descriptor, size)
    rest = os.pread(descriptor, size - start, start)
    if not rest:
        return
    try:
        Description.model_validate_json(rest)
    except ValidationError:
        # Anything else was not written here, and is not ours to cut.
        if not (rest.startswith(_BEGINNING) or _BEGINNING.startswith(rest)):
            raise DataError(
                f"{path} ends in something that is not a description; name another --out, or discard it with "
                "--overwrite"
            ) from None
        os.ftruncate(descriptor, start)
    else:
        os.write(descriptor, b"\n")


def _start_of_last_line(descriptor: int, size: int) -> int:
    """The offset behind the last end of a line."""
    end = size
    while end > 0:
        begin = max(0, end - _BLOCK)
        at = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _recorded(descriptor: int, path: Path, source: Source) -> dict[Key, str]:
    if not os.fstat(descriptor).st_size:
        return {}
    found = read_descriptions(path)
    if found.source != source:
        raise ArtifactMismatch(
            f"{path} holds descriptions by {found.source.describer} (prompt {found.source.prompt_hash}), these are by "
            f"{source.describer} (prompt {source.prompt_hash}); name another --out, or discard them with --overwrite"
        )
    return {description.key: description.image_sha256 for description in found.descriptions}


def _fault(path: Path, error: OSError) -> AahrError:
    return not_written(f"{path} cannot be written: {(error.strerror or str(error)).lower()}", error)
