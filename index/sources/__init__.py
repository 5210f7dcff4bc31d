"""From what a user has to records of images with captions: folders, patterns, tar archives, tables, regions."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from index.rejects import printable
from index.sources.archives import is_archive
from index.sources.captions import MatchedCaptions, match_captions, read_captions, readable
from index.sources.folder import FoundImages, find_images, find_matching, is_pattern, may_be_image, split_pattern
from index.sources.records import Caption, Source, SourceRecord, first_names, records_of
from index.sources.regions import read_regions
from index.sources.tables import below_root, is_table, read_table
from index.sources.tar import read_archives
from model.errors import DataError

__all__ = ["Caption", "Source", "SourceRecord", "read_regions", "read_source"]


def read_source(
    images: str | Path | Sequence[str | Path],
    *,
    captions: Path | None = None,
    root: Path | None = None,
    strict: bool = False,
    leave_out: Path | None = None,
) -> Source:
    """What is to be indexed, in an order that depends on nothing but the source.

    `images` is a folder, a pattern such as `photos/**/*.jpg`, images, tar archives, or tables (CSV, TSV, JSON lines,
    Parquet), one or several of one kind; archives and tables may be named by a pattern too. `captions` is a caption
    file beside a folder, a pattern or archives. `root` is the folder that the paths of a table start from, else that
    of the table. With `strict`, captions whose image is not there are an error. `leave_out` is a folder that is
    skipped, such as the index. Raises DataError for whatever cannot be read, naming file, place and remedy.
    """
    given = [str(path) for path in ([images] if isinstance(images, str | Path) else images)]
    files = [file for path in given for file in _expanded(path)]
    if files and all(_is_file(file, is_archive) for file in files):
        return _captioned(read_archives([Path(file) for file in files]), captions, strict)
    if files and all(_is_file(file, is_table) for file in files):
        if captions is not None:
            raise DataError(f"{files[0]} holds the captions itself; leave out {captions}")
        return _of_table([Path(file) for file in files], root)
    if files and len(files) == len(given) and all(os.path.isfile(file) and may_be_image(file) for file in files):
        return _captioned(_of_files([Path(os.path.realpath(file)) for file in files]), captions, strict)
    if len(given) != 1:
        raise DataError(
            f"{first_names(given) or 'nothing'} is not what can be indexed at once: give several tar archives or "
            "several tables, or one folder or pattern"
        )
    return _captioned(_of_found(_found(given[0], leave_out)), captions, strict)


def _expanded(path: str) -> list[str]:
    """What a pattern matches, where that is archives or tables alone; else the path itself."""
    if not is_pattern(path):
        return [path]
    folder, parts = split_pattern(path)
    matched = sorted(str(match) for match in folder.glob("/".join(parts)))
    return matched if matched and all(is_archive(match) or is_table(match) for match in matched) else [path]


def _is_file(path: str, is_kind: Callable[[str], bool]) -> bool:
    return is_kind(path) and not os.path.isdir(path) and not is_pattern(path)


def _found(path: str, leave_out: Path | None) -> FoundImages:
    if is_pattern(path):
        return find_matching(path, leave_out=leave_out)
    if os.path.isfile(path):
        raise DataError(f"{path} is not a folder, a tar archive or a table by its name; give one of those")
    return find_images(Path(path), leave_out=leave_out)


def _of_files(files: Sequence[Path]) -> Source:
    """Single images, below the folder that holds them all."""
    root = Path(os.path.commonpath([file.parent for file in files]))
    return Source(root, records_of(((file.relative_to(root).as_posix(), None) for file in files), root))


def _of_found(found: FoundImages) -> Source:
    records = records_of(((uri, None) for uri in found.uris), found.root)
    return Source(found.root, records, found.rejects, found.ignored)


def _of_table(paths: Sequence[Path], root: Path | None) -> Source:
    folder = Path(os.path.realpath(root or os.path.commonpath([path.absolute().parent for path in paths])))
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one that the paths in {paths[0]} start from")
    with readable(paths[0]):
        described = read_table(paths)
    if not described:
        raise DataError(f"{first_names([str(path) for path in paths])} names no image; add rows")
    return Source(folder, records_of(below_root(described, paths[0], folder), paths[0]))


def _captioned(source: Source, path: Path | None, strict: bool) -> Source:
    if path is None:
        return source
    uris = [record.uri for record in source.records]
    matched = match_captions(read_captions(path), set(uris), path)
    records = records_of(((uri, matched.by_uri.get(uri)) for uri in uris), path)
    left_out, note = _left_out(matched, path, source.images_root)
    if left_out and strict:
        raise DataError(f"{note}; add the images, or leave out --strict")
    notes = [f"{note}; they are left out"] if left_out else []
    return Source(source.images_root, records, source.rejects, source.ignored, left_out, notes)


def _left_out(matched: MatchedCaptions, path: Path, root: Path) -> tuple[int, str]:
    count = sum(len(image.captions) for image in matched.left_out)
    names = first_names([printable(image.uris[0]) for image in matched.left_out])
    return count, f"{count} captions in {path} are of images that are not in {root}: {names}"
