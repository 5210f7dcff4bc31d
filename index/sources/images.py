"""The bytes of an image by its uri, from a file or through a tar archive, and never from outside of the images root."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from index.sources.archives import ArchiveCache, split_archive_uri
from model.errors import ImageTooLarge, ItemNotFound, UnreadableImage

MAX_IMAGE_BYTES = 256 * 2**20

# Changes whenever the bytes may have: inode, size, times of change of content and of rights; of a member its place too.
Stamp = tuple[int, ...]


class StampedBytes(NamedTuple):
    """The bytes of an image file, and the stamp that it had when it was opened."""

    data: bytes
    stamp: Stamp


class ImageReader:
    """Reads the images below one root; safe to use from several threads.

    `archives` keeps the archives open that were read last, and says where compressed ones are unpacked.
    """

    def __init__(self, root: Path, archives: ArchiveCache | None = None) -> None:
        self.root = Path(os.path.realpath(root))
        self._prefix = str(self.root).rstrip(os.sep) + os.sep
        self._archives = archives or ArchiveCache()

    def read(self, uri: str) -> StampedBytes:
        """The bytes of an image file.

        Raises UnreadableImage for a uri that leads out of the root and for what is not a file, ImageTooLarge for more
        than MAX_IMAGE_BYTES, DataError for a broken archive, and OSError.
        """
        found = self._archive_of(uri)
        if found is not None:
            return self._read_member(uri, *found)
        with open(self._path(uri), "rb", buffering=0, opener=_opened) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage(f"{uri} is not a file")
            _refuse_large(uri, status.st_size)
            return StampedBytes(file.read(), _stamp(status))

    def stamp(self, uri: str) -> Stamp:
        """What `read` would say of the file now; raises UnreadableImage, DataError and OSError."""
        found = self._archive_of(uri)
        if found is None:
            return _stamp(os.stat(self._path(uri)))
        path, member = found
        return (*_stamp(os.stat(path)), *self._archives.get(path).place(member))

    def _archive_of(self, uri: str) -> tuple[str, str] | None:
        """The path of the archive and the member where the uri leads through one that is a file."""
        parts = split_archive_uri(uri)
        if parts is None:
            return None
        path = self._path(parts[0])
        return (path, parts[1]) if os.path.isfile(path) else None

    def _path(self, uri: str) -> str:
        path = os.path.realpath(self._prefix + uri) if "\0" not in uri else ""
        if not path.startswith(self._prefix):
            raise UnreadableImage(f"{uri!r:.200} leads out of the folder of images; rebuild the index")
        return path

    def _read_member(self, uri: str, path: str, member: str) -> StampedBytes:
        archive, status = self._archives.get(path), os.stat(path)
        place = archive.place(member)
        _refuse_large(uri, place.size)
        data = archive.read(place)
        if len(data) < place.size:
            raise UnreadableImage(f"{uri} is cut off: {len(data)} of {place.size} bytes; fetch its archive again")
        return StampedBytes(data, (*_stamp(status), *place))


def read_image(root: Path, uri: str) -> bytes:
    """The bytes of one image below `root`, through tar archives as well; the archives read last stay open.

    Raises as `ImageReader.read`.
    """
    return ImageReader(root, _SHARED).read(uri).data


_SHARED = ArchiveCache()


def _opened(path: str, flags: int) -> int:
    """Without O_NONBLOCK the opening of a pipe would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _refuse_large(uri: str, size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise ImageTooLarge(f"{uri} has {size} bytes, at most {MAX_IMAGE_BYTES} are read; make it smaller")


def image_file(root: Path, uri: str) -> Path:
    """The file of an image below `root`.

    Raises ItemNotFound for a file that is gone, that leads out of the root, or that lies in an archive.
    """
    path = Path(os.path.realpath(root / uri)) if "\0" not in uri else root
    if not path.is_relative_to(os.path.realpath(root)):
        raise ItemNotFound(f"the image {uri!r:.200} leads out of the folder of images and is not shown")
    if not path.is_file():
        parts = split_archive_uri(uri)
        if parts is not None and (root / parts[0]).is_file():
            raise ItemNotFound(f"the image {uri!r:.200} lies in an archive: it has bytes, and no file of its own")
        raise ItemNotFound(f"the image {uri!r:.200} is no longer there; rebuild the index", detail=str(path))
    return path
