"""GET /items/{id}: an item of the gallery, and its image file."""

import hashlib
from functools import partial
from io import BytesIO
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, Response
from PIL import Image

from index.collection import Collection
from index.sources.images import ImageReader, Stamp
from model.errors import ItemNotFound
from model.preprocess import FORMATS
from service.api.deps import ResourcesDep, StopwatchDep
from service.api.rendering import shown_fields, to_json
from service.api.schemas import Item

router = APIRouter(tags=["items"])

# The image of an id may change: browsers may keep it, but revalidate it each time.
_CACHING = "private, no-cache"


class ImageFile(NamedTuple):
    """An image file as it is sent; without content if the client already has it."""

    etag: str
    content: bytes
    media_type: str


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


def read_image_file(index: Collection, item_id: str, known_etags: str) -> ImageFile:
    """The image file of an item; its media type comes from its content, not its name.

    Raises ItemNotFound for an unknown id, and for a file that is gone, outside the images root or no longer an image.
    """
    uri = index.item(item_id).uri
    try:
        reader = ImageReader(index.images_root)
        etag = _etag(reader.stamp(uri))
        if etag in known_etags:
            return ImageFile(etag, b"", "")
        content, stamp = reader.read(uri)
        etag = _etag(stamp)
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            return ImageFile(etag, content, image.get_format_mimetype() or "application/octet-stream")
    except Exception as error:  # Pillow's plugins raise nearly anything for damaged bytes.
        raise ItemNotFound(
            f"the image of {item_id} can no longer be read; rebuild the index", detail=str(error)
        ) from error


def _etag(stamp: Stamp) -> str:
    """Changes whenever the bytes of the image may have; of an archive's member the place in it counts too."""
    return f'"{hashlib.sha256(repr(stamp).encode()).hexdigest()[:24]}"'
