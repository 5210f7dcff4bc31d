"""GET /items/{id}: an item of the gallery, and its image file."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Response

from service.api.deps import ResourcesDep, StopwatchDep
from service.api.rendering import shown_fields, to_json
from service.api.schemas import Item
from service.core.image_files import read_image_file

router = APIRouter(tags=["items"])

# The image of an id may change: browsers may keep it, but revalidate it each time.
_CACHING = "private, no-cache"


@router.get("/items/{id}", response_model=Item)
async def item(id: str, resources: ResourcesDep) -> Response:
    """An item of the gallery: an image or a caption."""
    with resources.generations.current as generation:
        found = Item.model_validate(shown_fields(generation.collection.item(id), with_payload=True))
    return Response(to_json(found), media_type="application/json")


@router.get(
    "/items/{id}/image",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, 304: {"description": "The client's copy is still current."}},
)
async def item_image(
    id: str,
    resources: ResourcesDep,
    watch: StopwatchDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The image file of an item; for a caption, the image that it describes."""
    with resources.generations.current as generation:
        read = partial(read_image_file, generation.collection, id, if_none_match or "")
        file = await resources.workers.run(read, watch)
    headers = {"ETag": file.etag, "Cache-Control": _CACHING, "X-Content-Type-Options": "nosniff"}
    if not file.content:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
