"""Requests and answers over HTTP. These models are the public surface: the OpenAPI document is made from them."""

import base64
import json
from collections.abc import Sequence
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

from index.filters import Filter, parse_filter
from index.items import Modality
from model.preprocess import clean_text

MAX_LIMIT = 1000
# Every page ranks all the hits above it again, so very deep pages would cost much and serve nobody.
MAX_OFFSET = 10_000
MAX_ID_CHARACTERS = 200
MAX_DIMENSION = 65_536

MAX_MIX = 16
MAX_BATCH = 64
MAX_URL_CHARACTERS = 2048

QueryType = Literal["text", "image", "image_url", "id", "embedding", "mix"]
SourceType = Literal["text", "image", "image_url", "id", "embedding"]
QUERY_TYPES: tuple[QueryType, ...] = get_args(QueryType)
SOURCE_TYPES: tuple[SourceType, ...] = get_args(SourceType)


def decode_base64(value: object) -> object:
    """The bytes of base64, also of a `data:` URI; anything that is not a string is left to the validation.

    Raises ValueError for anything but complete base64; line breaks are allowed.
    """
    if not isinstance(value, str):
        return value
    encoded = value
    if value[:5].lower() == "data:":
        head, comma, encoded = value.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("a data: URI of an image must look like data:image/png;base64,...")
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError as error:
        raise ValueError("it is not base64, or incomplete; send the whole file encoded as base64") from error


ImageBytes = Annotated[
    bytes, BeforeValidator(decode_base64), WithJsonSchema({"type": "string", "contentEncoding": "base64"})
]
# Raises EmptyText and TextTooLong, which pydantic passes on unchanged.
CleanText = Annotated[str, AfterValidator(clean_text)]
# Not `Modality`: JSON is validated strictly, where a string is not a member of an enumeration.
ModalityName = Literal["image", "text"]


def read_filter(value: object) -> object:
    """The filter of a request, which a form sends as JSON text; raises InvalidInput, which pydantic passes on."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is not JSON: {error}") from error
    return value if value is None else parse_filter(value)


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Sources(BaseModel):
    """What can be searched with: exactly one of these must be given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: CleanText | None = Field(default=None, description="A sentence.", examples=["two dogs on a beach"])
    image: ImageBytes | None = Field(default=None, description="An image file as base64, or as a data: URI.")
    image_url: str | None = Field(
        default=None,
        max_length=MAX_URL_CHARACTERS,
        description="Where the service fetches an image file, if its settings allow that.",
    )
    id: str | None = Field(
        default=None,
        max_length=MAX_ID_CHARACTERS,
        description="The id of a gallery item to use as the query. In its own modality it finds itself first.",
    )
    embedding: list[FiniteFloat] | None = Field(
        default=None,
        max_length=MAX_DIMENSION,
        description="A vector of the model's dimension. It need not be normalised, but must not be all zeros.",
    )


class MixPart(Sources):
    """A part of a mix."""

    weight: FiniteFloat = Field(
        default=1.0, ge=-100, le=100, description="How much this part counts; a negative weight leads away from it."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        _require_one(self, SOURCE_TYPES, "a part of a mix")
        if self.weight == 0:
            raise ValueError("the weight of a part is 0; leave the part out")
        return self


class SearchRequest(Sources):
    """One query, and which hits it should return. Exactly one of text, image, image_url, id, embedding and mix."""

    mix: list[MixPart] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MIX,
        description="Several queries as one: their embeddings are weighted and added up.",
        examples=[[{"text": "a beach"}, {"text": "people", "weight": -0.5}]],
    )
    target: ModalityName | None = Field(
        default=None,
        description="Which items to search. Default: the modality that the query is not; image for a vector.",
    )
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT, description="The largest number of hits to return.")
    offset: int = Field(
        default=0,
        ge=0,
        le=MAX_OFFSET,
        description="How many of the best hits to skip. Past the last hit the answer is empty.",
    )
    score_threshold: FiniteFloat | None = Field(
        default=None, description="Leave out hits with a lower cosine similarity."
    )
    filter: Annotated[Filter, BeforeValidator(read_filter)] | None = Field(
        default=None,
        description="Which items to search, as Qdrant writes it: must, should and must_not of conditions with match, "
        "range or exists on id, uri, caption and the payload.",
        examples=[{"must": [{"key": "year", "range": {"gte": 2010}}]}],
    )
    unique: FiniteFloat | None = Field(
        default=None,
        ge=0.5,
        le=1,
        description="Leave out hits whose cosine similarity with a better hit is at least this.",
    )
    normalise: bool = Field(
        default=True,
        description="Whether to penalise hubs, items that are close to almost every query, in the ranking. It applies "
        "where the index has their hubness and the query is one text or image that searches the other modality.",
    )
    with_payload: bool = Field(
        default=True, description="Whether to return the payload of the hits; if false, it is null."
    )

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        _require_one(self, QUERY_TYPES, "the request")
        return self

    @property
    def type(self) -> QueryType:
        """Which of them was given."""
        return next(name for name in QUERY_TYPES if getattr(self, name) is not None)


def _require_one(model: BaseModel, names: Sequence[str], where: str) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        described = " and ".join(given) if given else "none of these"
        raise ValueError(f"give exactly one of {', '.join(names)}; {where} has {described}")


class Item(Answer):
    """An item of the gallery: an image or a caption. `uri` is the path of the image below the images root."""

    id: str
    modality: Modality
    uri: str
    caption: str | None
    payload: dict[str, JsonValue] | None
    description: str | None = Field(
        description="What the image was embedded with beside its pixels, by a model that fuses semantics."
    )


class Hit(Item):
    """An item that was found; `score` is the cosine similarity between query and item."""

    score: float
    rank_score: float | None = Field(
        description="What the hits are ordered by where that is not the score: the score less a share of the item's "
        "hubness, how close it is to queries in general."
    )
    probability: float | None = Field(
        description="How probable it is that query and item belong together, among the best answers to a query of the "
        "data that the model was calibrated on; null where it is not calibrated for the query."
    )
    equally_good: bool | None = Field(
        description="Whether the best hit is ahead by so little that their order is a coin's; null where it is not "
        "known: without a probability, and on later pages."
    )


class QueryEcho(Answer):
    """How the query was understood."""

    type: QueryType
    text: str | None = Field(default=None, description="For a text query, the text after cleaning.")
    id: str | None = Field(default=None, description="For an id query, the item.")
    target: Modality = Field(description="Which items were searched.")
    truncated: bool = Field(default=False, description="Whether the text was too long and its end was ignored.")
    description: str | None = Field(
        default=None, description="What an image was described as, where the model fuses descriptions."
    )
    notes: list[str] = Field(default_factory=list, description="Where the search differs from what was asked, and why.")


class IndexRef(Answer):
    """The index that answered."""

    name: str
    version: str


class ModelRef(Answer):
    """The model that embedded query and gallery."""

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

    cached: bool = Field(description="Whether the results come from the cache.")
    took_ms: float = Field(description="Milliseconds from the arrival of the request to the answer.")


class BatchRequest(BaseModel):
    """Several searches in one request; each is answered as if it had come alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    searches: list[dict[str, JsonValue]] = Field(
        min_length=1, max_length=MAX_BATCH, description="Searches, each as POST /search takes it."
    )


class BatchItem(Answer):
    """The answer of one search of a batch, or its error; `status` is that of POST /search."""

    status: int
    answer: SearchAnswer | None = None
    error: "ErrorDetail | None" = None


class BatchAnswer(Answer):
    """The answers of a batch in the order of its searches; all come from one version of the index."""

    answers: list[BatchItem]


class ErrorDetail(Answer):
    """`code` is stable; `message` is for humans; `field` names the part of the request at fault."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(Answer):
    """The shape of every error."""

    error: ErrorDetail
