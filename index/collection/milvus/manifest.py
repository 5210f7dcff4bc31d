"""What a version of a Milvus store says about itself."""

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from index.items import Modality
from index.manifest import IndexedModel, VersionInfo, VersionKind

FORMAT: Literal["aahr-milvus/1"] = "aahr-milvus/1"
_CONTENT_BITS = 256


class Counts(BaseModel):
    """Rows of each modality, rejects, and captions left out because their image is not in the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: int = Field(ge=0)
    text: int = Field(ge=0)
    rejects: int = Field(ge=0)
    left_out: int = Field(ge=0)

    def of(self, modality: Modality) -> int:
        """The number of rows of one modality."""
        return self.image if modality is Modality.IMAGE else self.text


class MilvusManifest(BaseModel):
    """One version: rows of `generation` that a version of `lineage` wrote, and none of it replaced or deleted.

    `content` is the sum, modulo 2**256, of the digests of the rows: it follows from what was added and removed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal["aahr-milvus/1"] = FORMAT
    number: int = Field(gt=0)
    created_at: AwareDatetime
    kind: VersionKind
    model: IndexedModel
    images_root: str
    counts: Counts
    generation: int = Field(gt=0)
    lineage: tuple[int, ...]
    index_kind: str
    content: str

    @property
    def version(self) -> str:
        """The name of the version, such as 000001."""
        return version_name(self.number)

    @property
    def index_id(self) -> str:
        """First 16 hex digits of the SHA-256 of model and content."""
        return hashlib.sha256(f"{self.model.model_id}\n{self.content}".encode()).hexdigest()[:16]

    @property
    def visible(self) -> str:
        """The expression that holds for the rows of this version.

        A version that was killed before it was published is in no lineage, so that what it wrote is never seen.
        """
        lineage = list(self.lineage)
        return f"born in {lineage} and died not in {lineage}"

    def info(self, current: str | None) -> VersionInfo:
        """The version as the store lists it."""
        return VersionInfo(
            version=self.version,
            created_at=self.created_at,
            kind=self.kind,
            images=self.counts.image,
            texts=self.counts.text,
            index_id=self.index_id,
            current=self.version == current,
        )


def version_name(number: int) -> str:
    """The name of a version."""
    return f"{number:06d}"


def changed_content(content: str, *, added: Iterable[str] = (), removed: Iterable[str] = ()) -> str:
    """The content with the digests of other rows."""
    total = int(content, 16) + sum(int(one, 16) for one in added) - sum(int(one, 16) for one in removed)
    return f"{total % (1 << _CONTENT_BITS):064x}"
