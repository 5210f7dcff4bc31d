"""POST /items, DELETE /items/{id}, and many of either in one request.

Every answer comes after the change is on disk and searched. Bodies are read in the routes and not by FastAPI, so that
nothing is read of a client that may not write.
"""

from collections.abc import Collection
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from model.errors import AahrError
from service.api.auth import require
from service.api.body import JSON, json_object, media_type, parse_model, read_form, read_json, without_repetition
from service.api.change_schemas import (
    MAX_CAPTIONS,
    DeletedAnswer,
    DeletedBatch,
    DeletedItem,
    DeletedOutcome,
    IdBatch,
    ItemBatch,
    ItemToStore,
    StoredAnswer,
    StoredBatch,
    StoredItem,
    StoredOutcome,
    item_of,
)
from service.api.deps import Resources, ResourcesDep, StopwatchDep
from service.api.errors import aahr_error_response
from service.api.formats import check_format
from service.api.rendering import to_json
from service.api.schemas import ErrorAnswer, ErrorDetail, IndexRef
from service.core.items import Changed, Deleted, NewItem, Stored
from service.credentials import KeyScope

router = APIRouter(tags=["items"], dependencies=[Depends(require(KeyScope.WRITE))])

_FORM = "multipart/form-data"
_FORM_FIELDS = MAX_CAPTIONS + 4
_EXAMPLE = '{"image": "base64 of a file", "captions": ["two dogs on a beach"]}'


def _form_schema() -> dict[str, Any]:
    """The JSON item as a form: the image is a file, and a caption may be a field of its own."""
    properties = dict(ItemToStore.model_json_schema()["properties"])
    properties["image"] = {"type": "string", "format": "binary", "description": "An image file."}
    properties["caption"] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "A caption; the field may be repeated. In place of captions.",
    }
    for name in ("captions", "payload"):
        properties[name] = {"type": "string", "description": f"{properties[name]['description']} As JSON text."}
    return {"title": "ItemForm", "type": "object", "required": ["image"], "properties": properties}


def _body(*schemas: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind, schema in schemas}}}


_ITEM_BODY = _body((JSON, ItemToStore.model_json_schema()), (_FORM, _form_schema()))


@router.post(
    "/items",
    response_model=StoredAnswer,
    status_code=201,
    responses={200: {"model": StoredAnswer, "description": "The item was there and is replaced."}},
    openapi_extra=_ITEM_BODY,
)
async def store_item(request: Request, resources: ResourcesDep, watch: StopwatchDep) -> Response:
    """Put an image with its captions and payload into the gallery; an item of the same id is replaced.

    201 for a new item and 200 for a replaced one. It is on disk and searched when the answer comes.
    """
    item = await _read_item(request, resources)
    changed = await resources.changes.upsert([item], watch)
    (outcome,) = changed.outcomes
    if isinstance(outcome, AahrError):
        raise outcome
    assert isinstance(outcome, Stored)
    answer = StoredAnswer(item=_stored(outcome), index=_index(changed))
    headers = {"Location": f"/items/{quote(outcome.id, safe='')}", "Server-Timing": watch.header()}
    return Response(to_json(answer), _status(outcome), headers, media_type=JSON)


@router.post("/items/batch", response_model=StoredBatch, openapi_extra=_body((JSON, ItemBatch.model_json_schema())))
async def store_items(request: Request, resources: ResourcesDep, watch: StopwatchDep) -> Response:
    """Put many images into the gallery in one version of the index; a bad one harms no other."""
    parts = await read_json(request, resources.workers, partial(_items_of, formats=resources.settings.image_formats))
    items = [part for part in parts if isinstance(part, NewItem)]
    changed = await resources.changes.upsert(items, watch)
    rest = iter(changed.outcomes)
    outcomes = [next(rest) if isinstance(part, NewItem) else part for part in parts]
    answer = StoredBatch(items=[_stored_outcome(outcome) for outcome in outcomes], index=_index(changed))
    return Response(to_json(answer), media_type=JSON, headers={"Server-Timing": watch.header()})


@router.post("/items/delete", response_model=DeletedBatch, openapi_extra=_body((JSON, IdBatch.model_json_schema())))
async def delete_items(request: Request, resources: ResourcesDep) -> Response:
    """Take many items out of the gallery in one version of the index; an unknown id harms no other."""
    batch = await read_json(request, resources.workers, partial(parse_model, IdBatch, example='{"ids": ["beach-7"]}'))
    changed = await resources.changes.delete(batch.ids)
    answer = DeletedBatch(items=[_deleted_outcome(outcome) for outcome in changed.outcomes], index=_index(changed))
    return Response(to_json(answer), media_type=JSON)


@router.delete("/items/{id}", response_model=DeletedAnswer)
async def delete_item(id: str, resources: ResourcesDep) -> Response:
    """Take an item out of the gallery; the captions of an image go with it. The image file stays."""
    changed = await resources.changes.delete([id])
    (outcome,) = changed.outcomes
    if isinstance(outcome, AahrError):
        raise outcome
    return Response(to_json(DeletedAnswer(item=DeletedItem(id=id), index=_index(changed))), media_type=JSON)


async def _read_item(request: Request, resources: Resources) -> NewItem:
    if media_type(request) == _FORM:
        item = await resources.workers.run(partial(_item_of_form, await read_form(request, _FORM_FIELDS)))
    else:
        item = await read_json(request, resources.workers, _item_of_json, others=f" or {_FORM}")
    check_format(item.image, resources.settings.image_formats)
    return item


def _item_of_json(body: bytes) -> NewItem:
    return item_of(json_object(body, _EXAMPLE))


def _item_of_form(fields: list[tuple[str, str | bytes]]) -> NewItem:
    """`caption` may be repeated, and nothing else."""
    single = without_repetition([(name, value) for name, value in fields if name != "caption"])
    repeated = [value for name, value in fields if name == "caption"]
    if repeated and "captions" not in single:
        single["captions"] = repeated
    elif repeated:
        single["caption"] = repeated  # refused as unknown: there is one way at a time
    return item_of(single, strict=False)


def _items_of(body: bytes, formats: Collection[str]) -> list[NewItem | AahrError]:
    """Each item of a batch, or why it cannot be used."""
    parts: list[NewItem | AahrError] = []
    for fields in parse_model(ItemBatch, body, example=f'{{"items": [{_EXAMPLE}]}}').items:
        try:
            item = item_of(dict(fields))
            check_format(item.image, formats)
            parts.append(item)
        except AahrError as error:
            parts.append(error)
    return parts


def _stored_outcome(outcome: Stored | Deleted | AahrError) -> StoredOutcome:
    if isinstance(outcome, Stored):
        return StoredOutcome(status=_status(outcome), item=_stored(outcome))
    status, error = _refused(outcome)
    return StoredOutcome(status=status, error=error)


def _deleted_outcome(outcome: Stored | Deleted | AahrError) -> DeletedOutcome:
    if isinstance(outcome, Deleted):
        return DeletedOutcome(status=HTTPStatus.OK, item=DeletedItem(id=outcome.id))
    status, error = _refused(outcome)
    return DeletedOutcome(status=status, error=error)


def _refused(outcome: Stored | Deleted | AahrError) -> tuple[int, ErrorDetail]:
    """What the item would have been answered alone."""
    assert isinstance(outcome, AahrError)
    response = aahr_error_response(outcome)
    return response.status_code, ErrorAnswer.model_validate_json(bytes(response.body)).error


def _stored(outcome: Stored) -> StoredItem:
    return StoredItem(id=outcome.id, uri=outcome.uri, caption_ids=list(outcome.caption_ids))


def _status(outcome: Stored) -> HTTPStatus:
    return HTTPStatus.CREATED if outcome.created else HTTPStatus.OK


def _index(changed: Changed) -> IndexRef:
    return IndexRef(name=changed.name, version=changed.version)
