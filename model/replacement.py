"""Directories put in place in one step: whenever a process is killed, the earlier or the new one is there, whole."""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What kernels, file systems and sandboxes answer that do not know the exchange of two names.
_UNKNOWN = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}
_ATTEMPTS = 10  # against other processes that replace the same directory at the same moment

_STAGING, _ASIDE = "tmp", "aside"
_LEFT_OVER = re.compile(rf"\.(?P<target>.+)\.[0-9a-f]{{32}}\.(?P<kind>{_STAGING}|{_ASIDE})")
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


@contextmanager
def staging_directory(target: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside `target`, and remove what stands under its name in the end.

    It is locked as long as this process lives. What killed processes have left in the same parent is removed first.
    """
    clear_left_overs(target.parent)
    staging, lock = _claim(target)
    try:
        yield staging
    finally:
        _remove(staging)
        if lock is not None:
            os.close(lock)


def replace_directory(staging: Path, target: Path) -> None:
    """Put `staging` in the place of `target`, if there is one, and remove the earlier one; raises OSError.

    The names are exchanged in one system call where there is one. Elsewhere the earlier directory is renamed, and then
    the new one: `recover_directory` puts it back if the process is killed between the two.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            earlier = _put(staging, target)
            break
        except OSError as error:
            overtaken = error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST) and staging.exists()
            if not overtaken or attempt == _ATTEMPTS:
                raise
    fsync_path(target.parent)
    if earlier is not None:
        _remove(earlier)


def recover_directory(target: Path) -> bool:
    """Whether `target` is there; if a process was killed while it replaced it, the earlier one is put back first."""
    if os.path.lexists(target):
        return True
    for aside in sorted(_left_over(target.parent, _ASIDE, target.name), key=_changed, reverse=True):
        with suppress(OSError):  # another process was faster, or the parent is not ours to write
            os.rename(aside, target)
            fsync_path(target.parent)
            break
    return os.path.lexists(target)


def clear_left_overs(parent: Path) -> None:
    """Remove what killed processes have left in a folder, but never the only copy of a directory."""
    for aside in _left_over(parent, _ASIDE):
        if os.path.lexists(parent / _target_of(aside)):  # looked up after the listing: the replacement is complete
            _remove(aside)
    for staging in _left_over(parent, _STAGING):
        _remove_unless_in_use(staging)


def fsync_path(path: Path) -> None:
    """Have a file, or the entries of a directory, written to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(staging: Path, target: Path) -> Path | None:
    """The new directory takes the name; returns where the earlier one is now."""
    if not os.path.lexists(target):
        os.rename(staging, target)
        return None
    if _exchange(staging, target):
        return staging
    aside = _beside(target, _ASIDE)
    os.rename(target, aside)
    try:
        os.rename(staging, target)
    except OSError:
        with suppress(OSError):  # another process has taken the name
            os.rename(aside, target)
        raise
    return aside


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; False where that cannot be done here."""
    if _renameat2 is None:
        return False
    if _renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


def _claim(target: Path) -> tuple[Path, int | None]:
    """A new folder and the descriptor that holds its lock, which the system releases however this process ends."""
    while True:
        staging = _beside(target, _STAGING)
        staging.mkdir()
        try:
            lock = _locked(staging)
        except OSError:  # a file system without locks: then nobody can take the folder for left over either
            return staging, None
        if lock is not None:
            if staging.exists():
                return staging, lock
            os.close(lock)  # another process took it for left over before it was locked


def _remove_unless_in_use(staging: Path) -> None:
    """Remove a staging folder whose process is gone; it stays locked meanwhile, so that nobody claims it."""
    if staging.is_symlink():  # staging folders are real: this is what one was exchanged with
        _remove(staging)
        return
    with suppress(OSError):
        lock = _locked(staging)
        if lock is not None:
            try:
                _remove(staging)
            finally:
                os.close(lock)


def _locked(directory: Path) -> int | None:
    """A descriptor that locks a directory; None where another process holds or has removed it. Raises OSError."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _left_over(parent: Path, kind: str, target: str | None = None) -> list[Path]:
    try:
        names = os.listdir(parent)
    except OSError:
        return []
    matches = [match for match in map(_LEFT_OVER.fullmatch, names) if match is not None and match["kind"] == kind]
    return [parent / match.string for match in matches if target in (None, match["target"])]


def _target_of(left_over: Path) -> str:
    match = _LEFT_OVER.fullmatch(left_over.name)
    assert match is not None
    return match["target"]


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _beside(target: Path, kind: str) -> Path:
    return target.parent / f".{target.name}.{uuid.uuid4().hex}.{kind}"


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
