"""Tar archives: their members one after the other, and any of them by name."""

import gzip
import os
import shutil
import tarfile
import tempfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from model.errors import DataError

_PLAIN = (".tar",)
_ZIPPED = (".tar.gz", ".tgz")
_OPEN_ARCHIVES = 8


class Place(NamedTuple):
    """Where a member's bytes begin in the archive, and how many there are."""

    offset: int
    size: int


def is_archive(name: str) -> bool:
    """Whether the name is that of a tar archive."""
    return name.lower().endswith((*_PLAIN, *_ZIPPED))


def split_archive_uri(uri: str) -> tuple[str, str] | None:
    """The path of the archive in `folder/a.tar/member.jpg` and the name of the member; None where there is none."""
    parts = uri.split("/")
    for at, part in enumerate(parts[:-1], start=1):
        if is_archive(part):
            return "/".join(parts[:at]), "/".join(parts[at:])
    return None


@contextmanager
def streamed(path: Path) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
    """The members of an archive in their order, each to be read before the next is asked for.

    Raises DataError for what is not a tar archive or is cut off, and OSError.
    """
    with _as_data_error(path):
        mode = "r|gz" if _is_zipped(path) else "r|"
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # the mode is one of two literals
            yield ((tar, member) for member in _members(tar))


class Archive:
    """An open archive, of which any member can be read by several threads at once."""

    def __init__(self, path: Path, scratch: Path | None) -> None:
        """Find the members; a compressed archive is unpacked into an unnamed file in `scratch` first."""
        with _as_data_error(path), _unpacked(path, scratch) if _is_zipped(path) else path.open("rb") as file:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                self._places: dict[str, Place] = {}
                for info in _members(tar):  # of two members of one name the first counts, as in `read_archives`
                    self._places.setdefault(member_uri(info.name), Place(info.offset_data, info.size))
            self._descriptor = os.dup(file.fileno())

    def place(self, name: str) -> Place:
        """Where a member lies; raises FileNotFoundError."""
        try:
            return self._places[name]
        except KeyError:
            raise FileNotFoundError(2, "No such member of the archive", name) from None

    def read(self, place: Place) -> bytes:
        """The bytes of a member, fewer where the archive is cut off."""
        return os.pread(self._descriptor, place.size, place.offset)

    def __del__(self) -> None:
        # Not `close`: another thread may be reading while this archive makes room for the next one.
        if (descriptor := getattr(self, "_descriptor", None)) is not None:
            os.close(descriptor)


class ArchiveCache:
    """The archives that were read last, open; one that has changed on disk is opened anew. Thread-safe."""

    def __init__(self, scratch: Path | None = None) -> None:
        self._scratch = scratch
        self._open: OrderedDict[tuple[str, int, int, int], Archive] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> Archive:
        """The archive at `path`; raises DataError and OSError."""
        stat = os.stat(path)
        key = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            if key not in self._open:
                self._open[key] = Archive(Path(path), self._scratch)
            self._open.move_to_end(key)
            if len(self._open) > _OPEN_ARCHIVES:
                self._open.popitem(last=False)
            return self._open[key]


def member_uri(name: str) -> str:
    """A member's name as it stands in uris: without `./` and doubled slashes."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _is_zipped(path: Path) -> bool:
    return path.name.lower().endswith(_ZIPPED)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := tar.next()) is not None:
        yield info
        tar.members.clear()  # type: ignore[attr-defined]  # it keeps every header: a kilobyte a member


def _unpacked(path: Path, scratch: Path | None) -> BinaryIO:
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the caller closes it
    try:
        with gzip.open(path) as packed:
            shutil.copyfileobj(packed, file, 1 << 20)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a tar archive that can be read: {reason}; fetch or pack it again") from error
