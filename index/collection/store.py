"""A store: the versions of one collection, and every way to change them.

A change is all or nothing: until it is published, which is one atomic step, readers see the version before it; killed at
any step, the last published version stands and the next change works. One writer at a time: a second one is refused.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from index.collection import Collection
from index.items import Modality
from index.pending import PendingRows, PendingVersion

VersionKind = Literal["rebuild", "upsert", "delete", "compact"]


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A published version: `kind` is the change that made it, `images` and `texts` are its numbers of items."""

    version: str
    created_at: datetime
    kind: VersionKind
    images: int
    texts: int
    index_id: str
    current: bool


class Store(Protocol):
    """The versions of one collection; every method that writes raises ArtifactError while another writer is at work."""

    @property
    def location(self) -> str:
        """Where the store is, for messages; never with credentials."""

    def open(self, version: str | None = None) -> Collection:
        """A version for reading, by default the current one; raises ArtifactMissing where there is none."""

    def versions(self) -> list[VersionInfo]:
        """The versions that can be opened, the oldest first; none for a store that was never written to."""

    def publish(self, pending: PendingVersion) -> VersionInfo:
        """Write, check and publish a version that holds these rows and no others.

        Raises ArtifactError where it cannot be written, and ArtifactCorrupt where what was written does not answer as
        it should; then nothing has changed.
        """

    def upsert(self, rows: Mapping[Modality, PendingRows]) -> VersionInfo:
        """A new version with these rows; each replaces the row that has its id, and all others stay.

        Raises ArtifactMissing without a current version, and InvalidInput for rows of another dimension, for an id
        that is given twice or has the other modality, and for a caption whose image is in neither version nor rows.
        """

    def delete(self, ids: Iterable[str]) -> VersionInfo:
        """A new version without these items; the captions of an image go with it.

        Raises ItemNotFound, and changes nothing, where an id is not in the current version.
        """

    def rollback(self, to: str | None) -> VersionInfo:
        """Make another version the current one, by default the one before; raises ArtifactMissing without it."""

    def prune(self, keep: int) -> list[str]:
        """Remove all versions but the newest `keep` and the current one, and what nothing names any more.

        Returns the names of the versions that were removed; raises InvalidInput for `keep` below 1.
        """

    def compact(self) -> VersionInfo:
        """The current version written anew, without the rows that were replaced or deleted in it."""
