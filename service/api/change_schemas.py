"""Requests and answers of changes over HTTP, and how an item that is sent becomes one that can be stored."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from index.payload import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, check_payload
from index.rejects import printable
from model.errors import EmptyText, TextTooLong
from model.preprocess import clean_text
from service.api.errors import invalid_field
from service.api.schemas import MAX_ID_CHARACTERS, Answer, ErrorDetail, ImageBytes, IndexRef
from service.core.errors import InvalidField
from service.core.items import NewItem

MAX_CAPTIONS = 100
MAX_CHANGES = 256


def _read_json(value: object) -> object:
    """A field of a form is JSON as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error


def _check_id(value: str) -> str:
    """What can stand in a URL, in a terminal and in a log; raises ValueError."""
    if value != value.strip() or printable(value) != value:
        raise ValueError("it has white space at its ends or characters that cannot be shown; leave them out")
    if "/" in value or "\\" in value or value in (".", ".."):
        raise ValueError("it has a slash or is a path, which no URL of an item can hold; leave the slashes out")
    return value


def _check_payload(value: dict[str, Any]) -> dict[str, Any]:
    check_payload(value)  # raises InvalidPayload, a ValueError
    return value


class ItemToStore(BaseModel):
    """An image with what is known about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: ImageBytes = Field(description="An image file as base64, or as a data: URI.")
    id: Annotated[str, AfterValidator(_check_id)] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ID_CHARACTERS,
        description="An item that has this id is replaced, together with its captions. Default: one that follows from "
        "the bytes of the image.",
        examples=["beach-7"],
    )
    captions: Annotated[list[str], BeforeValidator(_read_json)] = Field(
        default_factory=list,
        max_length=MAX_CAPTIONS,
        description="Sentences that describe the image; each becomes an item of its own.",
        examples=[["two dogs on a beach"]],
    )
    payload: Annotated[dict[str, JsonValue], BeforeValidator(_read_json), AfterValidator(_check_payload)] = Field(
        default_factory=dict,
        description=f"What searches return and filter by: a JSON object of at most {MAX_PAYLOAD_BYTES:,} bytes, "
        f"nested at most {MAX_PAYLOAD_DEPTH} deep.",
        examples=[{"year": 2024}],
    )

    def item(self) -> NewItem:
        """As the core takes it; raises InvalidField for a caption without words or with too many characters."""
        try:
            captions = [clean_text(caption) for caption in self.captions]
        except (EmptyText, TextTooLong) as error:
            raise InvalidField(f"captions: {error}", "captions") from error
        return NewItem(self.image, self.id, captions, self.payload)


def item_of(fields: dict[str, Any], *, strict: bool = True) -> NewItem:
    """An item from the fields of a JSON object, or, not strictly, of a form; raises InvalidField."""
    try:
        return ItemToStore.model_validate(fields, strict=strict).item()
    except ValidationError as error:
        raise invalid_field(error.errors(include_url=False, include_context=False, include_input=False)) from error


class ItemBatch(BaseModel):
    """Many items to be stored together, each of which may be refused without harm to the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: list[dict[str, JsonValue]] = Field(
        min_length=1, max_length=MAX_CHANGES, description="Items, each as POST /items takes it."
    )


class IdBatch(BaseModel):
    """Items to be deleted together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: list[Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]] = Field(
        min_length=1, max_length=MAX_CHANGES, description="Ids of images, whose captions go with them, or of captions."
    )


class StoredItem(Answer):
    """An image that is in the gallery now, and its captions in the order in which they were sent."""

    id: str
    uri: str = Field(description="The path of the image file below the images root.")
    caption_ids: list[str]


class DeletedItem(Answer):
    """An item that is in the gallery no longer."""

    id: str


class StoredAnswer(Answer):
    """What was stored, and the first version of the index that has it."""

    item: StoredItem
    index: IndexRef


class DeletedAnswer(Answer):
    """What was deleted, and the first version of the index without it."""

    item: DeletedItem
    index: IndexRef


class StoredOutcome(Answer):
    """What became of one item; `status` is that of POST /items."""

    status: int
    item: StoredItem | None = None
    error: ErrorDetail | None = None


class DeletedOutcome(Answer):
    """What became of one id; `status` is that of DELETE /items/{id}."""

    status: int
    item: DeletedItem | None = None
    error: ErrorDetail | None = None


class StoredBatch(Answer):
    """The outcomes in the order of the items, and the version of the index that has all that were stored."""

    items: list[StoredOutcome]
    index: IndexRef


class DeletedBatch(Answer):
    """The outcomes in the order of the ids, and the version of the index without all that were deleted."""

    items: list[DeletedOutcome]
    index: IndexRef
