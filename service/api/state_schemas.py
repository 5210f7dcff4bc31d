"""What the service says of itself, and what an operator asks of it; public, as `service.api.schemas` is."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from index.items import Modality
from index.rebuild_progress import RebuildProgress
from service.api.schemas import MAX_LIMIT, MAX_OFFSET, Answer, IndexRef, ModelRef


class ModelInfo(ModelRef):
    """The loaded model."""

    dimension: int
    accepts: list[Modality] = Field(description="Modalities in which queries can be encoded.")


class IndexInfo(IndexRef):
    """The version of the index that is served."""

    created_at: datetime
    images: int
    texts: int


class Limits(Answer):
    """Limits on a request."""

    max_limit: int = MAX_LIMIT
    max_offset: int = MAX_OFFSET
    max_body_bytes: int
    max_text_characters: int
    max_image_pixels: int


class Info(Answer):
    """What is served, and its limits."""

    version: str
    model: ModelInfo
    index: IndexInfo
    limits: Limits
    cache: str


class Health(Answer):
    """Whether the service is alive, or ready."""

    status: Literal["ok"] = "ok"


class Readiness(Health):
    """Whether the service is ready."""

    refused: str | None = Field(description="Why a newer version of the index is not served, where that is so.")


class Rollback(BaseModel):
    """Which version to roll back to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str | None = Field(
        default=None, max_length=20, description="Name of a version, such as 000003; default: the one before."
    )


class PublishedVersion(Answer):
    """A version that can be served."""

    version: str
    created_at: datetime
    kind: str = Field(description="The change that made it, such as rebuild, upsert or delete.")
    images: int
    texts: int
    current: bool = Field(description="Whether it is the published one.")


class Versions(Answer):
    """The versions of the index, the newest first, and the rebuild that is under way."""

    versions: list[PublishedVersion]
    rebuild: RebuildProgress | None = Field(
        description="How far it is, on this machine or volume; one that was killed leaves its last state."
    )


class Reloaded(Answer):
    """The version served before, and the version served now."""

    old: IndexRef
    new: IndexRef
