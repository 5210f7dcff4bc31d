"""Everything that a new version of an index will hold, before anything of it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from index.captioned_items import image_items, text_items
from index.captions.records import MatchedCaptions
from index.embed import Floats, Outcome, Track, embed_pictures, embed_regions, embed_texts
from index.gallery import Gallery
from index.items import Item, Modality
from index.manifest import IndexedModel
from index.pictures import FoundPictures
from index.regions import RegionGallery
from index.rejects import Reject
from model.artifact import ModelArtifact
from model.errors import DataError, InvalidInput
from model.runtime import Runtime

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Embedded(Generic[Thing]):
    """Things that have an embedding, their embeddings [N, D] in the same order, and why the others have none."""

    things: list[Thing]
    embeddings: Floats
    rejects: list[Reject]


@dataclass(frozen=True)
class Draft:
    """A version to be; row n of an array of embeddings [N, D], L2-normalised, is item n of that modality."""

    model: IndexedModel
    images_root: Path
    gallery: Gallery
    embeddings: Mapping[Modality, Floats]
    rejects: Sequence[Reject]
    left_out: int


def embedded_pictures(runtime: Runtime, found: FoundPictures, track: Track) -> Embedded[str]:
    """Embed the pictures, as uris; raises DataError where none is left."""
    outcomes = embed_pictures(runtime, found.root, found.uris, track("images", len(found.uris)))
    return _embedded_images(found, outcomes, runtime.dimension)


def embedded_regions(runtime: Runtime, gallery: RegionGallery, track: Track) -> Embedded[str]:
    """Embed images by their regions, as uris; raises DataError where none is left."""
    advance = track("images", len(gallery.found.uris))
    outcomes = embed_regions(runtime, gallery.regions, gallery.global_features, advance)
    return _embedded_images(gallery.found, outcomes, runtime.dimension)


def embedded_captions(runtime: Runtime, uris: Sequence[str], matched: MatchedCaptions, track: Track) -> Embedded[Item]:
    """Embed the captions of the pictures `uris`, as text items."""
    candidates, rejects = text_items(uris, matched.by_uri)
    captions = [item.caption or "" for item in candidates]
    outcomes = embed_texts(runtime, captions, track("captions", len(captions)))
    texts = _parted(candidates, [item.uri for item in candidates], outcomes, runtime.dimension)
    return Embedded(texts.things, texts.embeddings, [*rejects, *texts.rejects])


def make_draft(
    artifact: ModelArtifact,
    found: FoundPictures,
    matched: MatchedCaptions,
    pictures: Embedded[str],
    texts: Embedded[Item],
) -> Draft:
    """Put the parts together; captions of pictures that are not in the index count as left out."""
    manifest = artifact.manifest
    indexed = set(pictures.things)
    without = [*matched.left_out, *(image for uri, image in matched.by_uri.items() if uri not in indexed)]
    return Draft(
        model=IndexedModel(
            model_id=manifest.model_id,
            name=manifest.name,
            dimension=manifest.dimension,
            directory=str(artifact.directory.resolve()),
        ),
        images_root=found.root,
        gallery=Gallery(tuple(image_items(pictures.things, matched.by_uri, texts.things)), tuple(texts.things)),
        embeddings={Modality.IMAGE: pictures.embeddings, Modality.TEXT: texts.embeddings},
        rejects=[*found.rejects, *pictures.rejects, *texts.rejects],
        left_out=sum(len(image.captions) for image in without),
    )


def _embedded_images(found: FoundPictures, outcomes: Sequence[Outcome], dimension: int) -> Embedded[str]:
    pictures = _parted(found.uris, found.uris, outcomes, dimension)
    if not pictures.things:
        rejects = [*found.rejects, *pictures.rejects]
        first = f"; the first of {len(rejects)} rejects: {rejects[0].uri}: {rejects[0].reason}" if rejects else ""
        raise DataError(f"no picture in {found.root} could be embedded{first}; give a folder of pictures")
    return pictures


def _parted(
    things: Sequence[Thing], uris: Sequence[str], outcomes: Sequence[Outcome], dimension: int
) -> Embedded[Thing]:
    kept: list[Thing] = []
    rows: list[Floats] = []
    rejects: list[Reject] = []
    for thing, uri, outcome in zip(things, uris, outcomes, strict=True):
        if isinstance(outcome, InvalidInput):
            rejects.append(Reject.of_error(uri, outcome))
        else:
            kept.append(thing)
            rows.append(outcome)
    return Embedded(kept, np.stack(rows) if rows else np.empty((0, dimension), np.float32), rejects)
