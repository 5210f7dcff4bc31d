"""GET /items/{id}: an item of the gallery, and its picture."""

from functools import partial
from io import BytesIO
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, Response
from PIL import Image

from index.search import LoadedIndex
from model.errors import ItemNotFound
from model.preprocess import FORMATS
from service.deps import ResourcesDep, StopwatchDep
from service.rendering import shown_fields, to_json
from service.schemas import Item

router = APIRouter(tags=["items"])

# A picture may change under its id: browsers keep it, and ask each time whether it is still the same.
_CACHING = "private, no-cache"


class Picture(NamedTuple):
    """A picture file as it is sent; without content where the client has it already."""

    etag: str
    content: bytes
    media_type: str


@router.get("/items/{id}", response_model=Item)
async def item(id: str, resources: ResourcesDep) -> Response:
    """An item of the gallery: a picture, or a caption of one."""
    found = Item.model_validate(shown_fields(resources.engine.index.item(id), with_payload=True))
    return Response(to_json(found), media_type="application/json")


@router.get(
    "/items/{id}/image",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, 304: {"description": "The client's copy is still right."}},
)
async def item_image(
    id: str,
    resources: ResourcesDep,
    watch: StopwatchDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The picture file of an item; of a caption, the picture that it describes."""
    picture = await resources.pool.run(partial(read_picture, resources.engine.index, id, if_none_match or ""), watch)
    headers = {"ETag": picture.etag, "Cache-Control": _CACHING, "X-Content-Type-Options": "nosniff"}
    if not picture.content:
        return Response(status_code=304, headers=headers)
    return Response(picture.content, media_type=picture.media_type, headers=headers)


def read_picture(index: LoadedIndex, item_id: str, known_etags: str) -> Picture:
    """The picture of an item, by its content and not by its name.

    Raises ItemNotFound for an unknown id, and for a file that is gone, lies elsewhere or is no picture any more.
    """
    index.item(item_id)
    try:
        path = index.image_path(item_id)
        status = path.stat()
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        if etag in known_etags:
            return Picture(etag, b"", "")
        content = path.read_bytes()
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            return Picture(etag, content, image.get_format_mimetype() or "application/octet-stream")
    except Exception as error:  # Pillow's plugins raise nearly anything for damaged bytes.
        raise ItemNotFound(
            f"the picture of {item_id} cannot be read any more; rebuild the index", detail=str(error)
        ) from error
