"""A store in Milvus: versions of a collection on a server or in a file of Milvus Lite.

How a change is all or nothing. A rebuild writes two new collections, one a modality. A change writes into those of the
current version: its new rows carry its number as `born`, and the rows that it replaces or deletes as `died`. A version
sees the rows that one of its lineage bore and none of it killed, so that a change in progress, or one that was killed,
is seen by nobody. An alias names the current version; moving it is one atomic step of Milvus, and publishes the change.
A rollback moves it back. Where the current version is not the newest of its rows, the next change writes the rows
anew, as `compact` does, so that the versions after it can still be opened; so it does where the rows have the fields of
an earlier version of this program, which are read as they are.

A version stays loaded until it is pruned; a reader of a version that is pruned gets ArtifactMissing.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from index.collection import Collection
from index.collection.milvus.catalog import Catalog
from index.collection.milvus.changes import MAX_LINEAGE, Tally, Writer
from index.collection.milvus.collection import MilvusCollection
from index.collection.milvus.connection import Connection
from index.collection.milvus.location import Location
from index.collection.milvus.lock import WriterLock, writer_lock
from index.collection.milvus.manifest import MilvusManifest
from index.collection.milvus.schema import INDEX_PARAMS, check_rows, key_of, lacking
from index.collection.milvus.selection import Keys, captions_of, deleted, replaced
from index.collection.milvus.validation import check_lengths, validate_count, validate_rows
from index.items import Modality
from index.manifest import VersionInfo, VersionKind, check_base
from index.pending import PendingRows, PendingVersion
from index.rebuild_progress import RebuildProgress, read_progress
from index.workspace import workspace
from model.errors import ArtifactError, ArtifactMissing, ConfigError, InvalidInput

KEPT_GENERATIONS = 3
KEPT_VERSIONS = 20


class MilvusStore:
    """The versions of one collection in Milvus; see `Store`."""

    def __init__(self, location: Location, index_kind: str = "FLAT") -> None:
        """`index_kind`, of new generations: FLAT compares all rows, HNSW is approximate and for millions of them."""
        if index_kind not in INDEX_PARAMS:
            raise ConfigError(f"{index_kind!r:.40} is not a kind of Milvus index; choose {' or '.join(INDEX_PARAMS)}")
        self._location = location
        self._index_kind = index_kind
        self._connection = Connection(location)
        self._catalog = Catalog(self._connection, location.name)

    @property
    def location(self) -> str:
        """Where the store is, as it is given on the command line."""
        return str(self._location)

    def open(self, version: str | None = None, shared: Collection | None = None) -> MilvusCollection:  # noqa: ARG002
        """A version for reading, over a connection of its own; nothing of it is held in this process."""
        manifest = self._manifest(version)
        connection = Connection(self._location)
        return MilvusCollection(connection, Catalog(connection, self._location.name), manifest)

    def current(self) -> str:
        """The name of the published version."""
        return self._manifest().version

    def versions(self) -> list[VersionInfo]:
        """The versions that can be opened, the oldest first."""
        current = self._catalog.current()
        return [manifest.info(current) for manifest in self._catalog.manifests()]

    def publish(self, pending: PendingVersion) -> VersionInfo:
        """See `Store.publish`."""
        for modality, rows in pending.rows.items():
            check_lengths(modality, rows)
            check_rows(modality, rows)
        with self._writing() as lock:
            writer = Writer(self._connection, self._catalog, lock, self._index_kind)
            writer.create_generation(pending.model.dimension)
            tally = Tally()
            writer.insert(writer.number, pending.rows, tally)
            manifest = writer.manifest(
                "rebuild",
                pending.model,
                str(pending.images_root.resolve()),
                None,
                tally,
                rejects=len(pending.rejects),
                left_out=pending.left_out,
            )
            return self._finish(lock, manifest, pending.rows)

    def upsert(
        self,
        rows: Mapping[Modality, PendingRows],
        *,
        replace_captions: bool = False,
        base: Collection | None = None,
    ) -> VersionInfo:
        """See `Store.upsert`."""
        for modality, pending in rows.items():
            check_lengths(modality, pending)
            check_rows(modality, pending)
        with self._writing() as lock:
            current = self._manifest()
            check_base(current, base.manifest if isinstance(base, MilvusCollection) else None)
            before = MilvusCollection(self._connection, self._catalog, current)
            dead = replaced(before, rows)
            if replace_captions and Modality.IMAGE in rows:
                images = rows[Modality.IMAGE].metadata["id"].to_pylist()
                dead[Modality.TEXT] |= captions_of(before, map(key_of, images))
            return self._change(lock, current, "upsert", dead, rows)

    def delete(self, ids: Iterable[str], *, base: Collection | None = None) -> VersionInfo:  # noqa: ARG002
        """See `Store.delete`."""
        with self._writing() as lock:
            current = self._manifest()
            before = MilvusCollection(self._connection, self._catalog, current)
            return self._change(lock, current, "delete", deleted(before, ids), {})

    def rollback(self, to: str | None = None) -> VersionInfo:
        """See `Store.rollback`."""
        with self._writing() as lock:
            current = self._manifest()
            manifests = {manifest.version: manifest for manifest in self._catalog.manifests()}
            earlier = [manifest for manifest in manifests.values() if manifest.number < current.number]
            if to is None and not earlier:
                raise ArtifactMissing(f"{self.location} has no version before {current.version}; nothing was changed")
            target = earlier[-1] if to is None else self._manifest(to)
            lock.check()
            self._catalog.point(target.number)
            return target.info(target.version)

    def prune(self, keep: int) -> list[str]:
        """See `Store.prune`."""
        if keep < 1:
            raise InvalidInput(f"keep is {keep}; it must be at least 1")
        with self._writing():
            return self._prune(lambda manifests: manifests[-keep:])

    def compact(self) -> VersionInfo:
        """See `Store.compact`."""
        with self._writing() as lock:
            return self._rewrite(lock, self._manifest(), "compact", {}, {})

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """See `Store.workspace`: a folder of the user's cache, since the store has none on this machine."""
        self._catalog.current()  # a server that does not answer is found out before anything is embedded
        with workspace(self._work_folder) as folder:
            yield folder

    def rebuilding(self) -> RebuildProgress | None:
        return read_progress(self._work_folder)

    @property
    def _work_folder(self) -> Path:
        name = hashlib.sha256(self.location.encode()).hexdigest()[:16]
        return Path.home() / ".cache" / "aahr" / "rebuild" / name

    def close(self) -> None:
        """Disconnect; collections that are open have connections of their own."""
        self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[WriterLock]:
        with writer_lock(self._connection, self._location.name) as lock:
            self._catalog.mark_current()
            self._catalog.sweep(self._catalog.manifests())
            yield lock

    def _manifest(self, version: str | None = None) -> MilvusManifest:
        name = version or self._catalog.current()
        if name is None:
            raise ArtifactMissing(
                f"{self.location} has no index; build one with `aahr index rebuild --out '{self.location}'`"
            )
        manifest = self._catalog.read(name)
        if manifest is None:
            names = ", ".join(manifest.version for manifest in self._catalog.manifests())
            raise ArtifactMissing(f"{self.location} has no version {name!r:.40}; it has {names or 'none'}")
        return manifest

    def _change(
        self,
        lock: WriterLock,
        base: MilvusManifest,
        kind: VersionKind,
        dead: Keys,
        rows: Mapping[Modality, PendingRows],
    ) -> VersionInfo:
        newer = (
            other.number > base.number for other in self._catalog.manifests() if other.generation == base.generation
        )
        # New rows have fields that a generation of an earlier version does not.
        old = lacking(self._connection.field_names(self._catalog.items(base.generation, Modality.IMAGE)))
        if any(newer) or old or len(base.lineage) >= MAX_LINEAGE:
            return self._rewrite(lock, base, kind, dead, rows)
        writer = Writer(self._connection, self._catalog, lock, base.index_kind)
        tally = Tally.of(base)
        writer.bury(base, dead, tally)
        writer.insert(base.generation, rows, tally)
        manifest = writer.manifest(kind, base.model, base.images_root, base, tally)
        return self._finish(lock, manifest, rows)

    def _rewrite(
        self,
        lock: WriterLock,
        base: MilvusManifest,
        kind: VersionKind,
        dead: Keys,
        rows: Mapping[Modality, PendingRows],
    ) -> VersionInfo:
        writer = Writer(self._connection, self._catalog, lock, self._index_kind)
        writer.create_generation(base.model.dimension)
        tally = Tally()
        writer.copy(base, dead, tally)
        writer.insert(writer.number, rows, tally)
        manifest = writer.manifest(kind, base.model, base.images_root, None, tally)
        return self._finish(lock, manifest, rows)

    def _finish(self, lock: WriterLock, manifest: MilvusManifest, rows: Mapping[Modality, PendingRows]) -> VersionInfo:
        """Make what was written durable, check it, and publish it."""
        for modality in Modality:
            self._connection.flush(self._catalog.items(manifest.generation, modality))
        collection = MilvusCollection(self._connection, self._catalog, manifest)
        for modality in Modality:
            validate_count(collection, modality)
            validate_rows(collection, modality, rows.get(modality))
        self._catalog.finish(manifest)
        lock.check()
        self._catalog.point(manifest.number)
        with suppress(ArtifactError):  # It is published whatever becomes of older ones, which the next change sweeps.
            self._catalog.mark_current()
            self._prune(_worth_keeping)
        return manifest.info(manifest.version)

    def _prune(self, kept: Callable[[list[MilvusManifest]], list[MilvusManifest]]) -> list[str]:
        """Drop all versions but the current one and those kept; readers of dropped ones are told so."""
        manifests = self._catalog.manifests()
        current = self._catalog.current()
        staying = {manifest.version for manifest in kept(manifests)} | {current}
        gone = [manifest for manifest in manifests if manifest.version not in staying]
        for manifest in gone:
            self._catalog.drop(manifest.number)
        self._catalog.sweep(manifest for manifest in manifests if manifest.version in staying)
        return [manifest.version for manifest in gone]


def _worth_keeping(manifests: list[MilvusManifest]) -> list[MilvusManifest]:
    """What rollbacks may want: some changes, and few whole copies, which take up memory."""
    generations = sorted({manifest.generation for manifest in manifests})[-KEPT_GENERATIONS:]
    return [manifest for manifest in manifests[-KEPT_VERSIONS:] if manifest.generation in generations]
