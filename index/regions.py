"""A gallery of precomputed regions, in SCAN's format: for models whose image encoder takes no pictures."""

from dataclasses import dataclass
from pathlib import Path

from index.captions.records import Caption, CaptionedImage, MatchedCaptions, normal_uri
from index.embed import Floats
from index.pictures import FoundPictures
from model.datasets.scan import RegionArrays, ScanFiles, open_scan
from model.errors import DataError


@dataclass(frozen=True, eq=False)
class RegionGallery:
    """One split of N images: what each is called, its captions, and what the image encoder sees of it.

    `found.uris` are the raw pictures below `found.root` where they are at hand; else the image ids, below the data set.
    """

    found: FoundPictures
    captions: MatchedCaptions
    regions: RegionArrays
    global_features: Floats  # [N, Dg]


def read_region_gallery(directory: Path, split: str, images: Path | None) -> RegionGallery:
    """The gallery of one split, with the captions that stand beside the regions.

    Raises DataError for files that are missing or do not fit together, and for pictures that are not below `images`.
    """
    files = open_scan(directory, split)
    global_features = files.global_features()
    if global_features is None:
        raise DataError(
            f"{files.clip_file} is not there: put CLIP ViT-B/32 embeddings of the raw pictures there, one row per "
            "image; `aahr data clip` makes them"
        )
    uris = _uris(files, images)
    captioned = {uri: _captioned(files, row, uri) for row, uri in enumerate(uris)}
    root = (directory if images is None else images).resolve()
    return RegionGallery(FoundPictures(root, uris), MatchedCaptions(captioned, ()), files.regions(), global_features)


def _uris(files: ScanFiles, images: Path | None) -> list[str]:
    if images is None:
        return [str(number) for number in files.image_ids]
    uris = [normal_uri(name) for name in files.image_names()]
    missing = [uri for uri in uris if not (images / uri).is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(uris)} pictures are not below {images}, the first is {missing[0]}")
    return uris


def _captioned(files: ScanFiles, row: int, uri: str) -> CaptionedImage:
    lines = range(row * files.per_image, (row + 1) * files.per_image)
    captions = tuple(Caption(files.captions[line], f"{files.prefix}_caps.txt, line {line + 1}") for line in lines)
    return CaptionedImage((uri,), captions, captions[0].place, {"image_id": int(files.image_ids[row])})
