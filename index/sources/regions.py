"""Precomputed regions in SCAN's format, for models whose image encoder does not take images."""

import hashlib
from pathlib import Path

from index.sources.records import Caption, DescribedImage, RegionFeatures, Source, normal_uri, records_of
from model.datasets.scan import ScanFiles, open_scan
from model.errors import DataError


def read_regions(directory: Path, split: str, images: Path | None = None) -> Source:
    """One split of N images with the captions that stand beside the regions.

    Items are named by their raw images below `images` where those are at hand, else by their image ids. Raises
    DataError for files that are missing or do not fit together, and for raw images that are not below `images`.
    """
    files = open_scan(directory, split)
    global_features = files.global_features()
    if global_features is None:
        raise DataError(
            f"{files.clip_file} is not there: put CLIP ViT-B/32 embeddings of the raw images there, one row per "
            "image; `aahr data clip` makes them"
        )
    uris = _uris(files, images)
    described = [(uri, _described(files, row, uri)) for row, uri in enumerate(uris)]
    root = (directory if images is None else images).resolve()
    records = records_of(described, directory)
    return Source(root, records, regions=RegionFeatures(files.regions(), global_features, _stamp(files)))


def _uris(files: ScanFiles, images: Path | None) -> list[str]:
    if images is None:
        return [str(number) for number in files.image_ids]
    uris = [normal_uri(name) for name in files.image_names()]
    missing = [uri for uri in uris if not (images / uri).is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(uris)} images are not below {images}, the first is {missing[0]}")
    return uris


def _described(files: ScanFiles, row: int, uri: str) -> DescribedImage:
    lines = range(row * files.per_image, (row + 1) * files.per_image)
    captions = tuple(Caption(files.captions[line], f"{files.prefix}_caps.txt, line {line + 1}") for line in lines)
    return DescribedImage((uri,), captions, captions[0].place, {"image_id": int(files.image_ids[row])})


def _stamp(files: ScanFiles) -> str:
    """Size and time of change of the two arrays: a run is not gone on with after they were replaced."""
    stats = [path.stat() for path in (files.regions_file, files.clip_file)]
    return hashlib.sha256(repr([(stat.st_size, stat.st_mtime_ns) for stat in stats]).encode()).hexdigest()
