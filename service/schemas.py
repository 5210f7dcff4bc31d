"""What goes in and out over HTTP. These models are the public surface: the OpenAPI document is made from them."""

import base64
from datetime import datetime
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    WithJsonSchema,
    model_validator,
)

from index.items import Modality
from model.preprocess import clean_text

MAX_LIMIT = 1000
# Each page ranks everything above it again: what is never read is not paid for.
MAX_OFFSET = 10_000
MAX_ID_CHARACTERS = 200
MAX_DIMENSION = 65_536

QueryType = Literal["text", "image", "id", "embedding"]
QUERY_TYPES: tuple[QueryType, ...] = get_args(QueryType)


def decode_base64(value: object) -> object:
    """The bytes of base64, also of a `data:` URI; what is no string is left to the validation.

    Raises ValueError for anything but whole base64; line breaks are forgiven.
    """
    if not isinstance(value, str):
        return value
    encoded = value
    if value[:5].lower() == "data:":
        head, comma, encoded = value.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("a data: URI of an image has to look like data:image/png;base64,...")
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError as error:
        raise ValueError("it is no base64, or only a part of it; send the whole file encoded as base64") from error


ImageBytes = Annotated[
    bytes, BeforeValidator(decode_base64), WithJsonSchema({"type": "string", "contentEncoding": "base64"})
]
# Raises EmptyText and TextTooLong, which pydantic lets through as they are.
CleanText = Annotated[str, AfterValidator(clean_text)]
# Not `Modality`: JSON is validated strictly, where a string is no member of an enumeration.
ModalityName = Literal["image", "text"]


class Answer(BaseModel):
    """Base of everything that is answered."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class SearchRequest(BaseModel):
    """One query, and what is wanted of its hits. Exactly one of text, image, id and embedding is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: CleanText | None = Field(default=None, description="A sentence.", examples=["two dogs on a beach"])
    image: ImageBytes | None = Field(default=None, description="A picture file as base64, or as a data: URI.")
    id: str | None = Field(
        default=None,
        max_length=MAX_ID_CHARACTERS,
        description="An item of the gallery is the query. In its own modality it finds itself first.",
    )
    embedding: list[FiniteFloat] | None = Field(
        default=None, max_length=MAX_DIMENSION, description="A vector of the model's dimension; any length but zero."
    )
    target: ModalityName | None = Field(
        default=None,
        description="Which items are searched; default: the other modality of the query, image of a vector.",
    )
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT, description="How many hits at most.")
    offset: int = Field(
        default=0,
        ge=0,
        le=MAX_OFFSET,
        description="How many of the best hits are skipped; past the last one, the answer is empty.",
    )
    score_threshold: FiniteFloat | None = Field(default=None, description="Hits with a smaller cosine are left out.")
    with_payload: bool = Field(default=True, description="False leaves the payload of the hits null.")

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        given = [name for name in QUERY_TYPES if getattr(self, name) is not None]
        if len(given) != 1:
            described = " and ".join(given) if given else "none of them"
            raise ValueError(f"exactly one of {', '.join(QUERY_TYPES)} is the query, and the request has {described}")
        return self

    @property
    def type(self) -> QueryType:
        """Which of the four is given."""
        return next(name for name in QUERY_TYPES if getattr(self, name) is not None)


class Item(Answer):
    """An item of the gallery: a picture, or a caption of one. `uri` is the picture's path below the images root."""

    id: str
    modality: Modality
    uri: str
    caption: str | None
    payload: dict[str, JsonValue] | None


class Hit(Item):
    """An item that was found; `score` is the cosine between the query and the item."""

    score: float


class QueryEcho(Answer):
    """How the query was understood."""

    type: QueryType
    text: str | None = Field(default=None, description="The text after cleaning, of a text query.")
    id: str | None = Field(default=None, description="The item, of an id query.")
    target: Modality = Field(description="Which items were searched.")
    truncated: bool = Field(default=False, description="Whether the end of the text was cut off.")
    notes: list[str] = Field(default_factory=list, description="What was done otherwise than asked, and why.")


class IndexRef(Answer):
    """Which index answered."""

    name: str
    version: str


class ModelRef(Answer):
    """Which model embedded query and gallery."""

    name: str
    model_id: str


class SearchResult(Answer):
    """The part of an answer that is the same whenever the same request meets the same items: it is cached."""

    results: list[Hit]
    query: QueryEcho


class AnsweredBy(Answer):
    """The part of an answer that is the same for every request to one version of an index."""

    index: IndexRef
    model: ModelRef


class SearchAnswer(AnsweredBy, SearchResult):
    """The answer of a search."""

    cached: bool = Field(description="Whether the results were computed for an earlier, equal request.")
    took_ms: float = Field(description="Milliseconds from the request's arrival to the answer.")


class ModelInfo(ModelRef):
    """The loaded model."""

    dimension: int
    accepts: list[Modality] = Field(description="Of which modalities queries can be encoded.")


class IndexInfo(IndexRef):
    """The published version of the index that is served."""

    created_at: datetime
    images: int
    texts: int


class Limits(Answer):
    """What a request may ask for."""

    max_limit: int = MAX_LIMIT
    max_offset: int = MAX_OFFSET
    max_body_bytes: int
    max_text_characters: int
    max_image_pixels: int


class Info(Answer):
    """What is served, and within which limits."""

    version: str
    model: ModelInfo
    index: IndexInfo
    limits: Limits
    cache: str


class Health(Answer):
    """Whether the service is alive, or ready."""

    status: Literal["ok"] = "ok"


class Reloaded(Answer):
    """Which version served before, and which one serves now."""

    old: IndexRef
    new: IndexRef


class ErrorDetail(Answer):
    """`code` is stable; `message` is for people; `field` is the part of the request that is meant."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(Answer):
    """The one shape of every error."""

    error: ErrorDetail
