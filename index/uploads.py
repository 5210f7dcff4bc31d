"""Images that come one by one, put below the images root under the hash of their content.

A file is there whole or not at all, is on disk before a version names it, and never takes the place of another one.
"""

import hashlib
import os
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from PIL import Image

from model.errors import ArtifactError, ImagesNotWritable, StorageFull, UnreadableImage, not_written
from model.preprocess import FORMATS
from model.replacement import fsync_path

UPLOADS = "uploads"
# Side by side: a journal is written once for many files that wait for it.
_WRITES = 8

_SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
}


def upload_uri(content: bytes) -> str:
    """Where an image is put: equal bytes have equal uris; raises UnreadableImage for what is not an image."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            suffix = _SUFFIXES[image.format or ""]
    except Exception as error:  # Pillow's plugins raise nearly anything for damaged bytes.
        raise UnreadableImage(f"the image cannot be read: its format is not one of {', '.join(FORMATS)}") from error
    return f"{UPLOADS}/{hashlib.sha256(content).hexdigest()}{suffix}"


def store_uploads(root: Path, files: Mapping[str, bytes]) -> None:
    """Put images, by their `upload_uri`, below the images root; when this returns, they are on disk.

    What is there already is left as it is. Raises ImagesNotWritable where the root is not a folder that can be written
    to or holds something else under the name, and StorageFull.
    """
    folder = root / UPLOADS
    try:
        _prepare(root, folder)
        with ThreadPoolExecutor(_WRITES) as threads:
            list(threads.map(lambda uri: _store(root / uri, files[uri]), files))
        fsync_path(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        full = not_written(f"{folder} cannot be written to: {reason}; make room there", error)
        raise (full if isinstance(full, StorageFull) else _refusal(folder, reason)) from error


def _prepare(root: Path, folder: Path) -> None:
    if not root.is_dir():
        raise _refusal(folder, f"{root} is not a folder")
    if not os.path.lexists(folder):
        folder.mkdir(exist_ok=True)
        fsync_path(root)
    # A link that leads out would put files where they are never served from.
    if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root)) or not folder.is_dir():
        raise _refusal(folder, "it is not a folder below the images root")


def _store(path: Path, content: bytes) -> None:
    if os.path.lexists(path):
        if path.is_symlink() or path.read_bytes() != content:
            raise _refusal(path, "something else has its name")
        # Whoever wrote it may have been killed before it was on disk.
        fsync_path(path)
        return
    staging = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with staging.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Only a file of the same bytes can have come to have this name meanwhile.
        staging.rename(path)
    finally:
        staging.unlink(missing_ok=True)


def _refusal(path: Path, reason: str) -> ArtifactError:
    return ImagesNotWritable(f"{path} cannot be written to: {reason}; correct it, or index the image where it lies")
