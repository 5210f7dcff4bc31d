"""A store: the versions of one collection, and every way to change them.

A change is all or nothing: until it is published, which is one atomic step, readers see the version before it; killed
at any step, the last published version stands and the next change works. One writer at a time: a second is refused.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from index.collection import Collection
from index.items import Modality
from index.manifest import VersionInfo
from index.pending import PendingRows, PendingVersion
from index.rebuild_progress import RebuildProgress


class Store(Protocol):
    """The versions of one collection; every method that writes raises ArtifactBusy while another writer is at work."""

    @property
    def location(self) -> str:
        """Where the store is, for messages; never with credentials."""

    def open(self, version: str | None = None, shared: Collection | None = None) -> Collection:
        """A version for reading, by default the current one; raises ArtifactMissing where there is none.

        What it has in common with `shared`, a version of the same store, need not be read again.
        """

    def current(self) -> str:
        """The name of the published version, which costs less than opening it; raises ArtifactError without one."""

    def versions(self) -> list[VersionInfo]:
        """The versions that can be opened, the oldest first; none for a store that was never written to."""

    def publish(self, pending: PendingVersion) -> VersionInfo:
        """Write, check and publish a version that holds these rows and no others.

        Raises ArtifactError where it cannot be written, and ArtifactCorrupt where what was written does not answer as
        it should; then nothing has changed.
        """

    def upsert(
        self,
        rows: Mapping[Modality, PendingRows],
        *,
        replace_captions: bool = False,
        base: Collection | None = None,
    ) -> VersionInfo:
        """A new version with these rows; each replaces the row that has its id, and all others stay.

        With `replace_captions`, the captions that the images among the rows had before go. `base` is the version that
        the rows were made for; what the current one shares with it need not be read again.

        Raises ArtifactMissing without a current version, ArtifactMismatch where that one has another model or another
        images root than `base`, and InvalidInput for rows of another dimension, for an id
        that is given twice or has the other modality, and for a caption whose image is in neither version nor rows.
        """

    def delete(self, ids: Iterable[str], *, base: Collection | None = None) -> VersionInfo:
        """A new version without these items; the captions of an image go with it. `base` is as in `upsert`.

        Raises ItemNotFound, and changes nothing, where an id is not in the current version.
        """

    def rollback(self, to: str | None) -> VersionInfo:
        """Make another version the current one, by default the one before; raises ArtifactMissing without it."""

    def prune(self, keep: int) -> list[str]:
        """Remove all versions but the newest `keep` and the current one, and what nothing names any more.

        Returns the names of the versions that were removed; raises InvalidInput for `keep` below 1.
        """

    def workspace(self) -> AbstractContextManager[Path]:
        """A folder for what is embedded but not published yet; raises ArtifactError where it is in use or refused."""

    def rebuilding(self) -> RebuildProgress | None:
        """How far a rebuild is that another process of this machine, or of this volume, is at; None without one."""

    def compact(self) -> VersionInfo:
        """The current version written anew, without the rows that were replaced or deleted in it."""
