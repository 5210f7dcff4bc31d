"""A small gallery for tests: pictures of one colour each, captions that name it, an index made by the colour model."""

import csv
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from index.collection.local import LocalCollection, LocalStore
from index.embedding import MAX_REJECTS
from index.rebuild import Embedding, SourceChoice, Summary, rebuild
from tests.artifacts import write_colour_model

# "yellow" lies in a sub-folder.
IMAGES = {"red": "red.jpg", "green": "green.jpg", "blue": "blue.jpg", "yellow": "more/yellow.jpg"}


@dataclass(frozen=True)
class BuiltGallery:
    """Where a gallery lies with everything that was made from it."""

    model: Path
    images: Path
    captions: Path
    index: Path

    def publish(self, *, captions: bool = True, model: Path | None = None) -> None:
        """Rebuild the index: the next version."""
        rebuild_index(model or self.model, self.images, self.index, self.captions if captions else None)


def rebuild_index(
    model: Path,
    images: Path,
    out: Path,
    captions: Path | None = None,
    *,
    strict: bool = False,
    max_rejects: float = MAX_REJECTS,
) -> Summary:
    """Index a folder of images with their captions, as `aahr index rebuild` does."""
    choice = SourceChoice(images=str(images), captions=captions, strict=strict)
    return rebuild(model, out, choice, embedding=Embedding(max_rejects=max_rejects))


def rebuild_regions(model: Path, regions: Path, out: Path, images: Path | None = None) -> Summary:
    """Index the test split of regions with their captions, as `aahr index rebuild --regions` does."""
    return rebuild(model, out, SourceChoice(images=None if images is None else str(images), regions=regions))


def open_index(directory: Path) -> LocalCollection:
    """The version that readers see."""
    return LocalStore(directory).open()


def newest_segment(gallery: BuiltGallery) -> Path:
    """The folder of the image rows of the current version."""
    collection = open_index(gallery.index)
    return gallery.index / "segments" / collection.manifest.segments[0].id


def build_gallery(directory: Path, *, captions: bool = True) -> BuiltGallery:
    """Pictures, captions with a payload, a model and one published version of an index."""
    gallery = BuiltGallery(
        directory / "model", directory / "images", directory / "captions.csv", directory / "gallery-index"
    )
    write_colour_model(gallery.model)
    for colour, uri in IMAGES.items():
        write_image(gallery.images / uri, colour)
    with gallery.captions.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption", "photographer"])
        rows.writerows([uri, f"a {colour} square", f"{colour}@example"] for colour, uri in IMAGES.items())
    gallery.publish(captions=captions)
    return gallery


def write_image(path: Path, colour: str) -> None:
    """A file of 32 x 24 pixels of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 24), colour).save(path)


def image_bytes(colour: str, kind: str = "JPEG") -> bytes:
    """A picture of one colour as the bytes of a file."""
    buffer = BytesIO()
    Image.new("RGB", (32, 24), colour).save(buffer, kind)
    return buffer.getvalue()
