"""Images packed into tar archives, as WebDataset packs them: `key.jpg` with `key.txt` or `key.json` beside it."""

import mimetypes
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.rejects import Reject, printable
from index.sources.archives import member_uri, streamed
from index.sources.captions import readable
from index.sources.payloads import checked_payload
from index.sources.records import (
    NO_PAYLOAD,
    Caption,
    DescribedImage,
    Source,
    is_utf8,
    records_of,
)
from index.sources.tables import id_of, texts_of
from model.datasets.strict_json import parse_json
from model.errors import DataError

_SIDECARS = (".txt", ".json")
_MAX_SIDECAR_BYTES = 1 << 20
_MIME = mimetypes.MimeTypes()


@dataclass
class _Sidecars:
    """What stands beside an image under the same key."""

    captions: list[Caption] = field(default_factory=list)
    payload: Mapping[str, Any] = field(default_factory=lambda: NO_PAYLOAD)
    id: str | None = None


@dataclass
class _Contents:
    """What one archive holds: the uris of its images in their order, and the rest by key."""

    images: dict[str, str] = field(default_factory=dict)  # uri to key
    sidecars: dict[str, _Sidecars] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    ignored: int = 0


def read_archives(paths: Sequence[Path]) -> Source:
    """The images of tar archives, in the order of the archives' names and of their members.

    A `.txt` member is a caption, a `.json` member an object whose `id` and `caption` or `captions` are used and whose
    other fields become payload. Raises DataError for a broken archive and for faulty members.
    """
    archives = sorted({Path(os.path.realpath(path)) for path in paths})
    root = Path(os.path.commonpath([archive.parent for archive in archives]))
    described: list[tuple[str, DescribedImage | None]] = []
    rejects: list[Reject] = []
    ignored = left_out = 0
    for archive in archives:
        prefix = archive.relative_to(root).as_posix()
        contents = _read(archive, prefix)
        described += [(uri, _described(uri, contents.sidecars.get(key))) for uri, key in contents.images.items()]
        rejects += contents.rejects
        ignored += contents.ignored
        with_image = set(contents.images.values())
        left_out += sum(len(side.captions) for key, side in contents.sidecars.items() if key not in with_image)
    return Source(root, records_of(described, root), rejects, ignored, left_out)


def _read(archive: Path, prefix: str) -> _Contents:
    contents = _Contents()
    with readable(archive), streamed(archive) as members:
        for tar, info in members:
            name = member_uri(info.name)
            if info.isdir() or any(part.startswith(".") and part != ".." for part in name.split("/")):
                continue
            uri, suffix = f"{prefix}/{name}", Path(name).suffix.lower()
            if suffix in _SIDECARS and info.isreg():
                _add_sidecar(contents, archive, name, _text(archive, tar, info))
            elif (_MIME.guess_type(f"file{suffix}")[0] or "").startswith("image/"):
                _add_image(contents, info, uri, _key(name))
            else:
                contents.ignored += 1
    return contents


def _add_image(contents: _Contents, info: tarfile.TarInfo, uri: str, key: str) -> None:
    if info.name.startswith("/") or ".." in uri.split("/"):
        reject = ("outside_folder", "its name leads out of the archive; pack it again under another one")
    elif not info.isreg() or info.issparse():
        reject = ("not_a_file", "it is not a file but a link, a device or a file with holes; pack what it stands for")
    elif not is_utf8(uri):
        reject = ("unreadable_name", "its name is not UTF-8; rename it")
    elif uri in contents.images:
        reject = ("duplicate_name", "the archive holds another image of this name before; pack it once")
    else:
        contents.images[uri] = key
        return
    contents.rejects.append(Reject(printable(uri), *reject))


def _text(archive: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> str:
    if info.size > _MAX_SIDECAR_BYTES:
        raise DataError(
            f"{archive}, {printable(info.name)}: {info.size} bytes, at most {_MAX_SIDECAR_BYTES} are read beside an "
            "image; shorten it"
        )
    file = tar.extractfile(info)
    try:
        return file.read().decode("utf-8-sig") if file else ""
    except UnicodeDecodeError as error:
        raise DataError(f"{archive}, {printable(info.name)} is not UTF-8 at byte {error.start}; save it so") from error


def _add_sidecar(contents: _Contents, archive: Path, name: str, text: str) -> None:
    beside = contents.sidecars.setdefault(_key(name), _Sidecars())
    if name.lower().endswith(".txt"):
        if text.strip():
            beside.captions.insert(0, Caption(text, name))
        return
    cells = _object(archive, name, text)
    beside.id = id_of(archive, name, cells)
    payload = {key: value for key, value in cells.items() if key not in ("id", "caption", "captions")}
    beside.payload = checked_payload(payload, archive, name)
    for column in ("caption", "captions"):
        if (value := cells.get(column)) is not None:
            beside.captions += [Caption(each, name) for each in texts_of(archive, name, column, value)]


def _object(archive: Path, name: str, text: str) -> Mapping[str, Any]:
    try:
        cells = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{archive}, {name}: not JSON that can be used ({error}); fix it there") from error
    if not isinstance(cells, dict):
        raise DataError(f'{archive}, {name}: not an object, such as {{"caption": "a dog"}}; make it one')
    return cells


def _described(uri: str, beside: _Sidecars | None) -> DescribedImage | None:
    if beside is None:
        return None
    captions: dict[str, Caption] = {}
    for caption in beside.captions:  # img2dataset writes the same caption into both files
        captions.setdefault(caption.text.strip(), Caption(caption.text, caption.place, beside.payload))
    return DescribedImage((uri,), tuple(captions.values()), uri, beside.payload, beside.id)


def _key(name: str) -> str:
    """WebDataset's key: the name up to the first dot of its last part."""
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.split('.')[0]}"
