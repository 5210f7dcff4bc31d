"""Whether a failed read says something about the file or about the machine."""

import errno
import os
from pathlib import Path

from model.errors import DataError

# Everything else (EIO, EMFILE, ENFILE, ENOMEM, ESTALE, ETIMEDOUT, ENOTCONN …) may be different at the next try, and
# says nothing about the one file: to go on would publish a gallery with holes.
_OF_THE_FILE = {
    errno.EACCES,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
}
# Those are the file's only while the folder itself can be read.
_OF_THE_ROOT_TOO = {errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.EPERM}


def is_machine_fault(error: BaseException, root: Path | None = None) -> bool:
    """Whether the machine or the disk failed and not the file; with `root`, whether that folder cannot be read now."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, OSError) or error.errno is None:
        return False
    if error.errno not in _OF_THE_FILE:
        return True
    return root is not None and error.errno in _OF_THE_ROOT_TOO and not _can_be_read(root)


def machine_fault(path: Path | str, error: BaseException) -> DataError:
    """The error of a run that cannot go on: names the file, the reason and its symbol, and what to do."""
    if isinstance(error, OSError) and error.errno is not None:
        reason = f"{(error.strerror or str(error)).lower()} ({errno.errorcode.get(error.errno, error.errno)})"
    else:
        reason = "memory ran out"
    return DataError(
        f"{path} cannot be read: {reason}; that is a fault of the machine and not of the file, so nothing was "
        "published: fix it and run the command again, what is embedded already is kept"
    )


def _can_be_read(root: Path) -> bool:
    try:
        with os.scandir(root):
            return True
    except NotADirectoryError:
        return True  # a single file, such as an archive
    except OSError:
        return False
