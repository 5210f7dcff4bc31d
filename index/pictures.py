"""Find the pictures of a folder and its sub-folders."""

import mimetypes
import os
from dataclasses import dataclass, field
from pathlib import Path

from index.rejects import Reject, printable
from model.errors import DataError

# Kinds that stand beside pictures and that `mimetypes` does not know.
_SIDECARS = {".aae", ".db", ".ini", ".md", ".npy", ".toml", ".xmp", ".yaml", ".yml"}
_MIME = mimetypes.MimeTypes()


@dataclass
class FoundPictures:
    """Pictures as POSIX paths below `root`, sorted; what looked like one and is none; the number of other files."""

    root: Path
    uris: list[str] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    ignored: int = 0


def find_pictures(root: Path, *, leave_out: Path | None = None) -> FoundPictures:
    """Every file below `root` that may be a picture; hidden files and the folder `leave_out` are skipped.

    Folders are never followed through symbolic links, so that loops end. A link to a file counts as that file while
    it stays below `root`; one that leads out is a reject, because whoever sees the gallery would see that file.
    Raises DataError for a root that is no readable folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder of pictures; give the folder that holds them")
    found = FoundPictures(Path(os.path.realpath(root)))
    excluded = None if leave_out is None else os.path.realpath(leave_out)
    pending = [str(found.root)]
    while pending:
        for entry in _entries(found, pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                if entry.path != excluded:
                    pending.append(entry.path)
            else:
                _sort_in(found, entry)
    found.uris.sort()
    found.rejects.sort(key=lambda reject: reject.uri)
    return found


def _entries(found: FoundPictures, folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        reason = f"the folder cannot be read: {(error.strerror or str(error)).lower()}"
        if Path(folder) == found.root:
            raise DataError(f"{folder}: {reason}") from error
        found.rejects.append(Reject(printable(_uri(found, folder)), "unreadable_folder", reason))
        return []


def _sort_in(found: FoundPictures, entry: os.DirEntry[str]) -> None:
    """Count one entry that is no folder; `os.path` answers False where a link is broken or goes in a circle."""
    uri = _uri(found, entry.path)
    if not _may_be_picture(entry.name):
        found.ignored += 1
    elif entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(found.root):
        reason = f"the link leads out of {found.root}; copy what it links to, or give the folder above both"
        found.rejects.append(Reject(printable(uri), "outside_folder", reason))
    elif os.path.isdir(entry.path):
        return  # Linked from within: its pictures are found where they are.
    elif not os.path.isfile(entry.path):
        reason = "it is no file but a pipe, a socket, a device or a broken link; remove it"
        found.rejects.append(Reject(printable(uri), "not_a_file", reason))
    elif not _is_utf8(uri):
        found.rejects.append(Reject(printable(uri), "unreadable_name", "its name is not UTF-8; rename it"))
    else:
        found.uris.append(uri)


def _may_be_picture(name: str) -> bool:
    """Whether the kind of the name is a picture's or unknown: those are tried."""
    suffix = Path(name).suffix.lower()
    kind = _MIME.guess_type(f"file{suffix}")[0]
    return suffix not in _SIDECARS and (kind is None or kind.startswith("image/"))


def _is_utf8(uri: str) -> bool:
    try:
        uri.encode()
    except UnicodeEncodeError:
        return False
    return True


def _uri(found: FoundPictures, path: str) -> str:
    return Path(path).relative_to(found.root).as_posix()
