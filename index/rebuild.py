"""Embed a folder of pictures with their captions and publish them as a new version of an index."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from index.captions import read_captions
from index.captions.records import MatchedCaptions, match_captions
from index.draft import Draft, Embedded, embedded_captions, embedded_pictures, embedded_regions, make_draft
from index.embed import Track
from index.manifest import IndexManifest
from index.pictures import FoundPictures, find_pictures
from index.progress import embedding_progress
from index.publish import publish, rebuild_lock
from index.regions import read_region_gallery
from index.rejects import Reject, printable
from model.artifact import ModelArtifact, load_model_artifact
from model.errors import DataError
from model.runtime import Runtime

_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Summary:
    """What a rebuild did; `images_per_second` is the rate of decoding and encoding alone."""

    manifest: IndexManifest
    seconds: float
    images_per_second: float

    def __str__(self) -> str:
        counts = self.manifest.counts
        return (
            f"version {self.manifest.version}: {counts.image} images, {counts.text} captions, "
            f"{counts.rejects} rejects, {counts.left_out} captions left out, "
            f"{self.seconds:.1f} s, {self.images_per_second:.0f} images per second"
        )


@dataclass(frozen=True)
class Source:
    """What is to be indexed: the images with their captions, and how they become embeddings."""

    found: FoundPictures
    matched: MatchedCaptions
    embed: Callable[[Runtime, Track], Embedded[str]]


def rebuild(
    model_directory: Path, images: Path, out: Path, captions: Path | None = None, strict: bool = False
) -> Summary:
    """Build an index in `out` from the pictures below `images`, and print a summary as the last line.

    Captions whose picture is not in the index are left out and counted; with `strict`, captions of a picture that is
    not in the folder are an error. Whatever goes wrong, the version that was current stays. Raises DataError for a
    folder without a usable picture and for a faulty caption file, UnsupportedQuery for a model that takes no pictures,
    and ArtifactError for a model or an index directory that cannot be used.
    """
    started, console = time.monotonic(), _console()
    artifact = load_model_artifact(model_directory)
    found = find_pictures(images, leave_out=out)
    console.print(f"{len(found.uris)} pictures in {images}, {found.ignored} files of other kinds ignored")
    matched = _matched(captions, found, console, strict)
    source = Source(found, matched, lambda runtime, track: embedded_pictures(runtime, found, track))
    return _publish(artifact, source, out, console, started)


def rebuild_from_regions(
    model_directory: Path, regions: Path, out: Path, split: str = "test", images: Path | None = None
) -> Summary:
    """Build an index in `out` from one split of a SCAN directory, with its captions; see `rebuild`.

    With `images`, the folder of the raw pictures, items are named and shown by them, else named by their ids. Raises
    DataError for files that do not fit, and UnsupportedQuery for a model that takes pictures.
    """
    started, console = time.monotonic(), _console()
    artifact = load_model_artifact(model_directory)
    gallery = read_region_gallery(regions, split, images)
    console.print(f"regions of {len(gallery.found.uris)} images in {regions}, split {split}")
    source = Source(gallery.found, gallery.captions, lambda runtime, track: embedded_regions(runtime, gallery, track))
    return _publish(artifact, source, out, console, started)


def _console() -> Console:
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def _publish(artifact: ModelArtifact, source: Source, out: Path, console: Console, started: float) -> Summary:
    with rebuild_lock(out):
        with embedding_progress(console) as track:
            draft, rate = _embed(artifact, source, track)
        manifest = publish(out, draft)
    _show_rejects(draft.rejects, console)
    summary = Summary(manifest, time.monotonic() - started, rate)
    print(summary)
    return summary


def _matched(captions: Path | None, found: FoundPictures, console: Console, strict: bool) -> MatchedCaptions:
    if captions is None:
        return MatchedCaptions({}, ())
    matched = match_captions(read_captions(captions), set(found.uris), captions)
    if matched.left_out:
        count = sum(len(image.captions) for image in matched.left_out)
        names = _first_of([image.uris[0] for image in matched.left_out])
        message = f"{count} captions in {captions} are of pictures that are not in {found.root}: {names}"
        if strict:
            raise DataError(f"{message}; add the pictures, or leave out --strict")
        console.print(f"{message}; they are left out")
    return matched


def _embed(artifact: ModelArtifact, source: Source, track: Track) -> tuple[Draft, float]:
    """The draft of the new version, and pictures per second."""
    with Runtime.load(artifact) as runtime:
        started = time.monotonic()
        pictures = source.embed(runtime, track)
        rate = len(source.found.uris) / (time.monotonic() - started)
        texts = embedded_captions(runtime, pictures.things, source.matched, track)
    return make_draft(artifact, source.found, source.matched, pictures, texts), rate


def _show_rejects(rejects: Sequence[Reject], console: Console) -> None:
    for reject in rejects[:_NAMES_SHOWN]:
        console.print(f"rejected: {printable(reject.uri)}: {printable(reject.reason)}")
    if len(rejects) > _NAMES_SHOWN:
        console.print(f"… {len(rejects)} rejects in all, listed in rejects.jsonl of the new version")


def _first_of(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
