"""The image files of the gallery's items."""

import hashlib
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from index.collection import Collection
from index.sources.images import ImageReader, Stamp
from model.errors import ItemNotFound
from model.preprocess import FORMATS


class ImageFile(NamedTuple):
    """An image file as it is sent; without content if the client already has it."""

    etag: str
    content: bytes
    media_type: str


def read_image_file(index: Collection, item_id: str, known_etags: str = "") -> ImageFile:
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
