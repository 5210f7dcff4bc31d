"""Images and captions as a table: one row for each image, or for each image and caption."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from index.rejects import printable
from index.sources.payloads import checked_payload
from index.sources.records import MAX_ID_LENGTH, Caption, DescribedImage, is_utf8, normal_uri
from index.sources.rows import CheckHeader, Row, csv_rows, json_rows, parquet_rows
from model.errors import DataError

_IMAGE = ("image", "path")
_CAPTION = ("caption", "captions")
_USED = {*_IMAGE[:1], *_CAPTION, "id"}

READERS: Mapping[str, Callable[[Path, CheckHeader], Iterator[Row]]] = {
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".parquet": parquet_rows,
}


def is_table(name: str) -> bool:
    """Whether the name is that of a table."""
    return Path(name).suffix.lower() in READERS


def read_table(paths: Sequence[Path], *, captions_needed: bool = False) -> list[DescribedImage]:
    """The images of one table in several files, with their captions, in the order in which they first stand there.

    Columns: `image` (or `path`), and where wanted `id`, `caption` or `captions`, each a text or a list of texts. All
    others become payload: of each caption that of its row, of the image what all of its rows agree on. With
    `captions_needed` every row must have a caption. Raises DataError naming file, place and remedy, OSError and
    UnicodeDecodeError.
    """
    groups: dict[str, _Group] = {}
    seen: dict[tuple[str, str], Place] = {}
    for path in paths:
        for row in READERS[path.suffix.lower()](path, _header_check(captions_needed)):
            uri = normal_uri(_image_of(row))
            captions = _captions_of(row, captions_needed)
            _refuse_again(Place(row.path, row.place), uri, captions, seen)
            image_id, payload = id_of(row.path, row.place, row.cells), _payload_of(row)
            if uri in groups:
                groups[uri].add(row, image_id, captions, payload)
            else:
                groups[uri] = _Group(Place(row.path, row.place), image_id, payload, _placed(row, captions, payload))
    return [group.described(uri) for uri, group in groups.items()]


def below_root(images: Iterable[DescribedImage], path: Path, root: Path) -> list[tuple[str, DescribedImage]]:
    """Each image of the table `path` with its uri below `root`.

    Raises DataError for one that lies outside, or whose name is not UTF-8.
    """
    top = os.path.realpath(root)
    return [(_uri_below(top, image, path, root), image) for image in images]


def id_of(path: Path, place: str, cells: Mapping[str, Any]) -> str | None:
    """The id that a row gives its image, None without one; raises DataError for one that cannot be used."""
    value = cells.get("id")
    if value is None or value == "":
        return None
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise DataError(f"{path}, {place}: id is {value!r:.40}; it has to be a text or a whole number")
    if len(text) > MAX_ID_LENGTH or text != text.strip() or printable(text) != text:
        raise DataError(
            f"{path}, {place}: id is {text!r:.40}; it has to have at most {MAX_ID_LENGTH} characters, without white "
            "space at its ends and without control characters"
        )
    return text


def texts_of(path: Path, place: str, name: str, value: Any) -> list[str]:
    """A cell that is a text or a list of texts; raises DataError for anything else."""
    texts = value if isinstance(value, list) else [value]
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{path}, {place}: {name} is {value!r:.40}; it has to be a text or a list of texts")
    return texts


class Place(NamedTuple):
    """Where a row stands; rows themselves are not kept."""

    path: Path
    text: str

    def __str__(self) -> str:
        return f"{self.path}, {self.text}"

    def seen_from(self, path: Path) -> str:
        """The place as it is named in an error of the file `path`."""
        return self.text if self.path == path else str(self)


@dataclass
class _Group:
    """The rows of one image."""

    first: Place
    id: str | None
    payload: Mapping[str, Any]
    captions: list[Caption] = field(default_factory=list)

    def add(self, row: Row, image_id: str | None, captions: list[str], payload: Mapping[str, Any]) -> None:
        if image_id != self.id:
            raise DataError(
                f"{row.path}, {row.place}: the id {image_id!r:.80} is not {self.id!r:.80}, which the same image has in "
                f"{self.first.seen_from(row.path)}; one image has one id"
            )
        if payload != self.payload:
            shared = self.payload.items()
            self.payload = {name: value for name, value in shared if name in payload and payload[name] == value}
        self.captions += _placed(row, captions, payload)

    def described(self, uri: str) -> DescribedImage:
        return DescribedImage((uri,), tuple(self.captions), self.first.text, self.payload, self.id)


def _header_check(captions_needed: bool) -> CheckHeader:
    def check(path: Path, header: Sequence[str]) -> None:
        absent = [] if any(name in header for name in _IMAGE) else ["image"]
        if captions_needed and not any(name in header for name in _CAPTION):
            absent.append("caption")
        if absent:
            found = ", ".join(header) or "nothing"
            raise DataError(f"{path}, line 1: no column {' and '.join(absent)} in {found!r:.200}; name the columns so")

    return check


def _image_of(row: Row) -> str:
    name = next((name for name in _IMAGE if name in row.cells), _IMAGE[0])
    value = row.cells.get(name)
    if not isinstance(value, str):
        found = "missing" if name not in row.cells else f"{value!r:.40}"
        raise DataError(f"{row.path}, {row.place}: {name} is {found}; it has to be a text")
    if not value.strip():
        raise DataError(f"{row.path}, {row.place}: {name} is empty; name the file of the image")
    return value


def _captions_of(row: Row, needed: bool) -> list[str]:
    captions: list[str] = []
    for name in _CAPTION:
        if (value := row.cells.get(name)) is not None and (needed or value != ""):
            captions += texts_of(row.path, row.place, name, value)
        elif needed and name in row.cells and value is None:
            raise DataError(f"{row.path}, {row.place}: {name} is None; it has to be a text")
    if needed and not any(name in row.cells for name in _CAPTION):
        raise DataError(f"{row.path}, {row.place}: caption is missing; it has to be a text")
    return captions


def _refuse_again(place: Place, uri: str, captions: list[str], seen: dict[tuple[str, str], Place]) -> None:
    for caption in captions or [""]:
        if (earlier := seen.setdefault((uri, caption), place)) != place:
            what = "image and caption" if captions else "image"
            raise DataError(f"{place}: the same {what} as in {earlier.seen_from(place.path)}; keep one of them")


def _payload_of(row: Row) -> Mapping[str, Any]:
    used = _USED if "image" in row.cells else {*_USED, "path"}
    return checked_payload({name: value for name, value in row.cells.items() if name not in used}, row.path, row.place)


def _placed(row: Row, captions: list[str], payload: Mapping[str, Any]) -> list[Caption]:
    return [Caption(text, row.place, payload) for text in captions]


def _uri_below(top: str, image: DescribedImage, path: Path, root: Path) -> str:
    (name,) = image.uris
    absolute = os.path.normpath(os.path.join(top, name))
    uri = os.path.relpath(absolute, top)
    if uri.split(os.sep)[0] in (os.curdir, os.pardir):
        raise DataError(
            f"{path}, {image.place}: {name!r:.200} is outside of {root}; give the folder that holds all images as root"
        )
    if not is_utf8(uri) or "\0" in uri:
        raise DataError(f"{path}, {image.place}: {name!r:.200} is not the name of a file; correct it")
    return uri
