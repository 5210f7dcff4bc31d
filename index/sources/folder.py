"""Find the images of a folder and its sub-folders, or those of them that a pattern names."""

import fnmatch
import mimetypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from index.rejects import Reject, printable
from index.sources.faults import is_machine_fault, machine_fault
from index.sources.records import is_utf8
from model.errors import DataError

# Kinds that stand beside images and that `mimetypes` does not know.
_SIDECARS = {".aae", ".db", ".ini", ".md", ".npy", ".parquet", ".toml", ".xmp", ".yaml", ".yml"}
_MIME = mimetypes.MimeTypes()
_WILDCARDS = frozenset("*?[")

Wanted = Callable[[str], bool]


@dataclass
class FoundImages:
    """Images as POSIX paths below `root`, sorted; what looked like one and is not; the number of other files."""

    root: Path
    uris: list[str] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    ignored: int = 0


def find_images(root: Path, *, leave_out: Path | None = None, wanted: Wanted = lambda _: True) -> FoundImages:
    """Every file below `root` that may be an image; hidden files and the folder `leave_out` are skipped.

    Folders are never followed through symbolic links, so that loops end. A link to a file counts as that file while
    it stays below `root`; one that leads out is a reject, because whoever sees the gallery would see that file. Files
    whose uri is not `wanted` are passed over. Raises DataError for a root that is not a readable folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder of images; give the folder that holds them")
    found = FoundImages(Path(os.path.realpath(root)))
    excluded = None if leave_out is None else os.path.realpath(leave_out)
    pending = [str(found.root)]
    while pending:
        for entry in _entries(found, pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                if entry.path != excluded:
                    pending.append(entry.path)
            elif wanted(uri := _uri(found, entry.path)):
                _sort_in(found, entry, uri)
    found.uris.sort()
    found.rejects.sort(key=lambda reject: reject.uri)
    return found


def is_pattern(path: str) -> bool:
    """Whether the path has wildcards and is not the name of something that is there."""
    return not _WILDCARDS.isdisjoint(path) and not os.path.lexists(path)


def find_matching(pattern: str, *, leave_out: Path | None = None) -> FoundImages:
    """The images that a pattern such as `photos/**/*.jpg` names.

    The root is the longest part without a wildcard. `*`, `?` and `[…]` stay within one name, `**` stands for any number
    of folders. Raises DataError where nothing matches.
    """
    root, parts = split_pattern(pattern)
    found = find_images(root, leave_out=leave_out, wanted=lambda uri: matches(PurePosixPath(uri).parts, parts))
    if not found.uris and not found.rejects:
        ignored = f", of {found.ignored} files none may be an image" if found.ignored else ""
        raise DataError(f"{pattern} matches no image below {root}{ignored}; put the pattern into quotes and check it")
    return found


def split_pattern(pattern: str) -> tuple[Path, tuple[str, ...]]:
    """The longest part of a pattern without a wildcard, and the rest of it in parts."""
    parts = Path(pattern).parts
    first = next(at for at, part in enumerate(parts) if not _WILDCARDS.isdisjoint(part))
    return Path(*parts[:first]), parts[first:]


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path are what the parts of a pattern say."""

    @cache
    def match(part: int, wanted: int) -> bool:
        if wanted == len(pattern):
            return part == len(parts)
        if pattern[wanted] == "**":
            return match(part, wanted + 1) or (part < len(parts) and match(part + 1, wanted))
        return part < len(parts) and fnmatch.fnmatchcase(parts[part], pattern[wanted]) and match(part + 1, wanted + 1)

    return match(0, 0)


def may_be_image(name: str) -> bool:
    """Whether the kind of the name is an image's or unknown: those are tried."""
    suffix = Path(name).suffix.lower()
    kind = _MIME.guess_type(f"file{suffix}")[0]
    return suffix not in _SIDECARS and (kind is None or kind.startswith("image/"))


def _entries(found: FoundImages, folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        reason = f"the folder cannot be read: {(error.strerror or str(error)).lower()}"
        if is_machine_fault(error):
            raise machine_fault(folder, error) from error
        if Path(folder) == found.root:
            raise DataError(f"{folder}: {reason}") from error
        found.rejects.append(Reject(printable(_uri(found, folder)), "unreadable_folder", reason))
        return []


def _sort_in(found: FoundImages, entry: os.DirEntry[str], uri: str) -> None:
    """Count one entry that is not a folder; `os.path` answers False where a link is broken or goes in a circle."""
    if not may_be_image(entry.name):
        found.ignored += 1
    elif entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(found.root):
        reason = f"the link leads out of {found.root}; copy what it links to, or give the folder above both"
        found.rejects.append(Reject(printable(uri), "outside_folder", reason))
    elif os.path.isdir(entry.path):
        return  # Linked from within: its images are found where they are.
    elif not os.path.isfile(entry.path):
        reason = "it is not a file but a pipe, a socket, a device or a broken link; remove it"
        found.rejects.append(Reject(printable(uri), "not_a_file", reason))
    elif not is_utf8(uri):
        found.rejects.append(Reject(printable(uri), "unreadable_name", "its name is not UTF-8; rename it"))
    else:
        found.uris.append(uri)


def _uri(found: FoundImages, path: str) -> str:
    return os.path.relpath(path, found.root)
