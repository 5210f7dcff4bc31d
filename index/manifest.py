"""What a published index says about itself: its model, its files, its counts, and where things lay."""

import hashlib
import os
from pathlib import Path
from typing import Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from index.items import Modality
from model.manifest import FileEntry

INDEX_FORMAT: Literal["aahr-index/1"] = "aahr-index/1"


class ModelIdentity(Protocol):
    """What tells one model from another: a `ModelManifest` has it, and so has a `Runtime`."""

    @property
    def model_id(self) -> str: ...

    @property
    def dimension(self) -> int: ...


class IndexedModel(BaseModel):
    """The model that the embeddings of an index come from, and where it lay (an absolute path)."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_id: str
    name: str
    dimension: int = Field(gt=0)
    directory: str


class Counts(BaseModel):
    """Rows of each modality, rejects, and captions left out because their picture is not in the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: int = Field(ge=0)
    text: int = Field(ge=0)
    rejects: int = Field(ge=0)
    left_out: int = Field(ge=0)

    def of(self, modality: Modality) -> int:
        """The number of rows of one modality."""
        return self.image if modality is Modality.IMAGE else self.text


class IndexManifest(BaseModel):
    """The manifest of one version; `index_directory` and `images_root` are absolute paths at the time of writing."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal["aahr-index/1"]
    version: str = Field(pattern=r"^\d{6,}$")
    created_at: AwareDatetime
    index_directory: str
    images_root: str
    model: IndexedModel
    engines: dict[Modality, Literal["flat-ip", "hnsw-ip"]]
    counts: Counts
    files: dict[str, FileEntry]

    @property
    def index_id(self) -> str:
        """First 16 hex digits of the SHA-256 over the sorted lines `name:sha256`: equal contents, equal answers.

        A version number alone tells nothing once an index directory was deleted and built anew.
        """
        lines = "".join(f"{name}:{self.files[name].sha256}\n" for name in sorted(self.files))
        return hashlib.sha256(f"{self.model.model_id}\n{lines}".encode()).hexdigest()[:16]

    def locate(self, recorded: str, index_directory: Path) -> Path:
        """Where a recorded directory is now: at its path, or else on the same way from the index, which may have moved.

        Where it is at neither place, the recorded path is returned, for the error message of whoever opens it.
        """
        if Path(recorded).exists():
            return Path(recorded)
        way = os.path.relpath(recorded, self.index_directory)
        moved = Path(os.path.normpath(index_directory.resolve() / way))
        return moved if moved.exists() else Path(recorded)
