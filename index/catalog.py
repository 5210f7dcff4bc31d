"""The catalogue of an index directory: which versions there are, which one is current, and who may change that.

    CURRENT                      the name of the published version
    versions/000007/             manifest.json, rejects.jsonl, deleted-SEGMENT.npy; never changed once it is there
    segments/3f2a…/              rows of one modality, shared between versions (index.segment)

A version is published by one rename of CURRENT, after everything that it names is on disk. Until then every reader sees
the version before it, and whatever a killed writer leaves is removed by the next one.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from index.first_format import has_first_format, refuse_first_format
from index.items import Rows
from index.manifest import INDEX_FORMAT, IndexedModel, SegmentReference, VersionKind, VersionManifest
from index.rejects import REJECTS, Reject, write_rejects
from index.segment import Segment
from index.snapshot import Snapshot, open_snapshot
from index.validation import validate
from index.writing import locked, save_rows
from model.errors import ArtifactCorrupt, ArtifactError, ArtifactMissing
from model.manifest import (
    MANIFEST,
    describe_files,
    published_directory,
    read_manifest,
    sha256_of_file,
    verify_files,
    write_text_atomically,
)

CURRENT = "CURRENT"
VERSIONS = "versions"
SEGMENTS = "segments"

_EXPECTED = "a version of an index, as `aahr index rebuild` writes it"
_VERSION_NAME = re.compile(r"\d{6,}")


Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """A segment of a version to be, with the rows of it that are deleted there."""

    segment: Segment
    deleted: Rows


@dataclass(frozen=True)
class NewVersion:
    """What a version is to hold; `parent` is the version that it changes."""

    kind: VersionKind
    model: IndexedModel
    images_root: str
    parts: Sequence[Part]
    parent: VersionManifest | None = None
    rejects: Sequence[Reject] = ()
    left_out: int = 0


class Catalog:
    """The versions of one index directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.segments = directory / SEGMENTS
        self._versions = directory / VERSIONS
        # Each change looks at the manifests of all versions several times; they never change.
        self._read: dict[str, tuple[Stamp, VersionManifest]] = {}

    def names(self) -> list[str]:
        """The names of the versions that are there, the oldest first."""
        if not self._versions.is_dir():
            return []
        names = [path.name for path in self._versions.iterdir() if _VERSION_NAME.fullmatch(path.name)]
        return sorted(names, key=int)

    def first_format_names(self) -> list[str]:
        """The versions that can no longer be read, because they are of the format before this one."""
        names = [name for name in self.names() if self._known(name) is None]
        return [name for name in names if has_first_format(self._versions / name)]

    def current(self) -> str:
        """The published version; raises ArtifactMissing without one and ArtifactCorrupt for a foreign CURRENT."""
        path = self.directory / CURRENT
        try:
            name = path.read_text(encoding="utf-8", errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            raise ArtifactMissing(
                f"{self.directory} is not an index: it has no {CURRENT}; build one with "
                f"`aahr index rebuild --out {self.directory}`"
            ) from None
        if not _VERSION_NAME.fullmatch(name):
            raise ArtifactCorrupt(f"{path} says {name!r:.40}, which is not a version; write one of {VERSIONS}/ into it")
        return name

    def manifest(self, name: str) -> VersionManifest:
        """The manifest of a version; raises ArtifactMissing and ArtifactCorrupt."""
        if (known := self._known(name)) is not None:
            return known
        directory = self._versions / name
        stamp = _stamp(directory / MANIFEST)
        refuse_first_format(self.directory, directory)
        manifest = read_manifest(directory, VersionManifest, expected=_EXPECTED)
        needed = {REJECTS, *(part.deleted_file for part in manifest.segments if part.deleted)}
        if needed != set(manifest.files):
            listed = ", ".join(sorted(manifest.files))
            raise ArtifactCorrupt(f"{directory / MANIFEST} lists {listed}, not {', '.join(sorted(needed))}; rebuild it")
        if not directory.name.startswith(".") and directory.name != manifest.version:
            raise ArtifactCorrupt(
                f"{directory / MANIFEST} is of version {manifest.version}; put it back into its own folder"
            )
        if stamp is not None and _VERSION_NAME.fullmatch(name):
            self._read[name] = (stamp, manifest)
        return manifest

    def open(self, name: str | None = None, shared: Mapping[str, Segment] | None = None) -> Snapshot:
        """Open a version, by default the current one; segments in `shared` (by id) are taken as they are.

        Raises ArtifactMissing for a version or a file that is not there, and ArtifactCorrupt for a size, hash, row
        count or dimension that differs from the manifests.
        """
        return self._open(self._versions / (name or self.current()), shared or {})

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the directory for one change; the lock goes with the process, however that ends.

        Raises ArtifactBusy where another process holds it, StorageFull where there is no room, and ArtifactError where
        the directory holds something that is not an index, and where it cannot be written to.
        """
        with locked(self.directory):
            self.segments.mkdir(exist_ok=True)
            self._versions.mkdir(exist_ok=True)
            self._sweep()
            yield

    def publish(self, new: NewVersion) -> VersionManifest:
        """Write a version, open and check it, and make it the current one; inside of `writing`.

        Raises ArtifactCorrupt where it does not answer as it should; then nothing has changed.
        """
        version = self._next_name()
        _fsync(self.segments)
        with published_directory(self._versions / version) as staging:
            manifest = self._write(staging, version, new)
            known = set() if new.parent is None else {part.id for part in new.parent.segments}
            opened = {part.segment.id: part.segment for part in new.parts}
            validate(self._open(staging, opened), set(opened) - known)
        try:
            write_text_atomically(self.directory / CURRENT, f"{version}\n")
        except OSError:
            self._withdraw(version)
            raise
        return manifest

    def _withdraw(self, version: str) -> None:
        """A rollback must not find what could not be published."""
        try:
            published = self.current() == version
        except ArtifactMissing:
            published = False
        if not published:
            self.remove([version])

    def make_current(self, name: str) -> VersionManifest:
        """Publish an earlier version again, inside of `writing`, once it has been opened strictly."""
        manifest = self.open(name).manifest
        write_text_atomically(self.directory / CURRENT, f"{name}\n")
        return manifest

    def remove(self, names: Sequence[str]) -> None:
        """Remove versions, inside of `writing`, and all segments that no version names any more.

        A version is renamed first, so that one that can be seen is always whole; what cannot be removed now is removed
        by the next change.
        """
        for name in names:
            with suppress(OSError):
                (self._versions / name).rename(self._versions / f".{name}.removed")
                self._read.pop(name, None)
        self._sweep()

    def _open(self, directory: Path, shared: Mapping[str, Segment]) -> Snapshot:
        manifest = self.manifest(directory.name)
        verify_files(directory, manifest.files)
        return open_snapshot(manifest, directory, self.segments, shared)

    def _write(self, staging: Path, version: str, new: NewVersion) -> VersionManifest:
        write_rejects(staging / REJECTS, new.rejects)
        references = []
        for part in new.parts:
            reference = SegmentReference(
                id=part.segment.id,
                modality=part.segment.modality,
                manifest_sha256=sha256_of_file(self.segments / part.segment.id / MANIFEST),
                rows=part.segment.size,
                deleted=len(part.deleted),
            )
            if reference.deleted:
                save_rows(staging / reference.deleted_file, part.deleted)
            references.append(reference)
        fresh = new.kind in ("rebuild", "compact") or new.parent is None
        manifest = VersionManifest(
            format=INDEX_FORMAT,
            version=version,
            kind=new.kind,
            base=version if fresh or new.parent is None else new.parent.base,
            parent=None if new.parent is None else new.parent.version,
            created_at=datetime.now(UTC),
            index_directory=str(self.directory.resolve()),
            images_root=new.images_root,
            model=new.model,
            segments=tuple(references),
            rejects=len(new.rejects),
            left_out=new.left_out,
            files=describe_files(staging, [path.name for path in staging.iterdir()]),
        )
        (staging / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return manifest

    def _known(self, name: str) -> VersionManifest | None:
        """A manifest that was read before, if its file is still the same."""
        stamp, manifest = self._read.get(name, (None, None))
        return manifest if stamp is not None and stamp == _stamp(self._versions / name / MANIFEST) else None

    def _next_name(self) -> str:
        """One above every version that is or was there: numbers are never used twice, since caches know them."""
        names = self.names()
        with suppress(ArtifactMissing):
            names.append(self.current())
        return f"{max(map(int, names), default=0) + 1:06d}"

    def _sweep(self) -> None:
        """Remove what killed writers left, and segments that no version names."""
        for folder in (self._versions, self.segments):
            for path in folder.glob(".*"):
                shutil.rmtree(path, ignore_errors=True)
        named: set[str] = set()
        for name in self.names():
            try:
                named.update(part.id for part in self.manifest(name).segments)
            except ArtifactError:  # Of a version that cannot be read it is not known what it needs: all stays.
                return
        for path in self.segments.iterdir():
            if path.name not in named:
                shutil.rmtree(path, ignore_errors=True)


def _stamp(path: Path) -> Stamp | None:
    """Changes whenever the file may have; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _fsync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
