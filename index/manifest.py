"""The manifest of a version: which segments it is made of, which of their rows are deleted, and what it came from."""

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from index.items import Modality
from model.errors import ArtifactMismatch
from model.manifest import FileEntry
from model.views import MOST_VIEWS

VersionKind = Literal["rebuild", "upsert", "delete", "compact"]
INDEX_FORMAT: Literal["aahr-index/2"] = "aahr-index/2"


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A published version: `kind` is the change that made it, `images` and `texts` are its numbers of items.

    `notes` say which nearest-neighbour indexes were chosen, and what was measured of them.
    """

    version: str
    created_at: datetime
    kind: VersionKind
    images: int
    texts: int
    index_id: str
    current: bool
    notes: tuple[str, ...] = ()


class IndexedModel(BaseModel):
    """The model that the embeddings of an index come from, and where it lay (an absolute path).

    `views`: how many views of each image were embedded and averaged (`model.views`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_id: str
    name: str
    dimension: int = Field(gt=0)
    directory: str
    views: int = Field(default=1, ge=1, le=MOST_VIEWS)

    @property
    def embedding_key(self) -> str:
        """Equal exactly where equal images have equal embeddings."""
        return self.model_id if self.views == 1 else f"{self.model_id}-{self.views}-views"


class Origin(Protocol):
    """What a version says of where its rows come from."""

    @property
    def version(self) -> str:
        """The name of the version."""

    @property
    def model(self) -> IndexedModel:
        """The model of its embeddings."""

    @property
    def images_root(self) -> str:
        """The folder that its uris start from."""


def check_base(current: Origin, base: Origin | None) -> None:
    """Raises ArtifactMismatch where rows that were made for `base` do not fit the current version any more."""
    if base is None:
        return
    if (current.model.embedding_key, current.images_root) != (base.model.embedding_key, base.images_root):
        raise ArtifactMismatch(
            f"version {current.version} is of the model {current.model.name} ({current.model.model_id}) and the images "
            f"in {current.images_root}; the rows are of {base.model.name} ({base.model.model_id}) and "
            f"{base.images_root}: embed them again"
        )


class SegmentReference(BaseModel):
    """One segment of a version: its id, the hash of its manifest, its live and its deleted rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    modality: Modality
    manifest_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int = Field(gt=0)
    deleted: int = Field(default=0, ge=0)

    @property
    def deleted_file(self) -> str:
        """The file of the version that lists the deleted rows; it is there where `deleted` is not 0."""
        return f"deleted-{self.id}.npy"


class VersionManifest(BaseModel):
    """What a version says of itself; `index_directory` and `images_root` are absolute paths at the time of writing.

    `parent` is the version that a change was made to, and `base` the rebuild or compaction that its main segments are
    from (a version of its own kind names itself).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal["aahr-index/2"]
    version: str = Field(pattern=r"^\d{6,}$")
    kind: VersionKind
    base: str
    parent: str | None
    created_at: AwareDatetime
    index_directory: str
    images_root: str
    model: IndexedModel
    segments: tuple[SegmentReference, ...]
    rejects: int = Field(default=0, ge=0)
    left_out: int = Field(default=0, ge=0)
    files: dict[str, FileEntry]

    def count(self, modality: Modality) -> int:
        """The number of live rows of one modality."""
        return sum(part.rows - part.deleted for part in self.segments if part.modality is modality)

    @property
    def index_id(self) -> str:
        """First 16 hex digits of the SHA-256 over model, segments and deleted rows: equal contents, equal answers.

        A version number alone tells nothing once an index directory was deleted and built anew.
        """
        lines = [self.model.model_id]
        for part in self.segments:
            deleted = self.files[part.deleted_file].sha256 if part.deleted else ""
            lines.append(f"{part.modality}:{part.id}:{deleted}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def info(self, *, current: bool) -> VersionInfo:
        """The short form, for listings."""
        return VersionInfo(
            version=self.version,
            created_at=self.created_at,
            kind=self.kind,
            images=self.count(Modality.IMAGE),
            texts=self.count(Modality.TEXT),
            index_id=self.index_id,
            current=current,
        )

    def locate(self, recorded: str, index_directory: Path) -> Path:
        """Where a recorded directory is now: at its path, or else on the same way from the index, which may have moved.

        Where it is at neither place, the recorded path is returned, for the error message of whoever opens it.
        """
        if Path(recorded).exists():
            return Path(recorded)
        way = os.path.relpath(recorded, self.index_directory)
        moved = Path(os.path.normpath(index_directory.resolve() / way))
        return moved if moved.exists() else Path(recorded)
