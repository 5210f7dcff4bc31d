"""Answers of the service. Fields that a newer service adds are ignored."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Item(Answer):
    """An image or a caption of the gallery; `uri` is the path of the image below the images root.

    `description` is what the image was embedded with beside its pixels; a service of an earlier version sends none.
    """

    id: str
    modality: Literal["image", "text"]
    uri: str
    caption: str | None
    payload: dict[str, Any] | None
    description: str | None = None


class Hit(Item):
    """An item that was found; `score` is the cosine similarity, `rank_score` what hits are ordered by, where not by it.

    `probability` is that of its belonging to the query, and `equally_good` whether the best hit is hardly ahead of it;
    both None where the model is not calibrated for the query, or the service is of an earlier version.
    """

    score: float
    rank_score: float | None = None
    probability: float | None = None
    equally_good: bool | None = None


class Query(Answer):
    """How the query was understood."""

    type: str
    target: Literal["image", "text"]
    text: str | None = None
    id: str | None = None
    truncated: bool = False
    notes: list[str] = []


class Index(Answer):
    """The version of the index that answered."""

    name: str
    version: str


class Model(Answer):
    """The model that answered."""

    name: str
    model_id: str


class SearchAnswer(Answer):
    """The answer of a search."""

    results: list[Hit]
    query: Query
    index: Index
    model: Model
    cached: bool
    took_ms: float


class Error(Answer):
    """Why one search of a batch was refused."""

    code: str
    message: str
    field: str | None = None


class BatchItem(Answer):
    """The answer of one search of a batch, or its error."""

    status: int
    answer: SearchAnswer | None = None
    error: Error | None = None


class BatchAnswer(Answer):
    """The answers of a batch."""

    answers: list[BatchItem]


class StoredItem(Answer):
    """An image that is in the gallery now, with its captions."""

    id: str
    uri: str
    caption_ids: list[str]


class Stored(Answer):
    """What was stored, and the version that has it."""

    item: StoredItem
    index: Index


class Embedding(Answer):
    """One embedding."""

    index: int
    embedding: list[float]


class Embeddings(Answer):
    """Embeddings in the order of the inputs."""

    data: list[Embedding]


class Swap(Answer):
    """The version that served before, and the one that serves now."""

    old: Index
    new: Index
