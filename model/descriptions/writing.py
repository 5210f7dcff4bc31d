"""Describe a selection of images into a file: in parallel, in bounded memory, and from where an earlier run ended."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from model.descriptions.describer import Describer, Rejected, Subject
from model.descriptions.file import Description
from model.descriptions.parallel import in_parallel
from model.descriptions.progress import Track, untracked
from model.descriptions.rejects import RejectsFile, rejects_path
from model.descriptions.resumable import Key, ResumableFile
from model.descriptions.selection import Item, by_image
from model.descriptions.usage import Meter
from model.errors import InvalidInput
from model.preprocess import decode_image

Read = Callable[[str], bytes]  # the bytes of an image by its path below the folder; raises InvalidInput and OSError


@dataclass(frozen=True)
class Selection:
    """What is to be described, and the paths that cannot be, with the reason."""

    items: Sequence[Item]
    refused: Sequence[tuple[str, str]] = ()


@dataclass
class Summary:
    """What a run has done; `seconds` from start to end. `interrupted`: by Ctrl-C, and to be gone on with."""

    path: Path
    meter: Meter
    described: int = 0
    rejected: int = 0
    skipped: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    def __str__(self) -> str:
        rate = self.described / self.seconds if self.seconds > 0 else 0.0
        parts = [
            f"{self.described} described",
            f"{self.rejected} rejected",
            f"{self.skipped} skipped",
            f"{self.seconds:.1f} s",
            f"{rate:.1f} per second",
            str(self.meter),
        ]
        return f"{self.path}: {', '.join(part for part in parts if part)}"


@dataclass(frozen=True)
class Run:
    """How a selection is described.

    Attributes:
        read: gives the bytes of an image.
        describer: is called by several threads, with all items of one image at once.
        jobs: images under way at the same time.
        meter: what the describer counts its tokens with, for the summary.
        track: shows the progress.
    """

    read: Read
    describer: Describer
    jobs: int = 8
    meter: Meter = field(default_factory=Meter)
    track: Track = untracked

    def into(self, path: Path, selection: Selection, *, overwrite: bool = False) -> Summary:
        """Add what is missing to the file, and write what cannot be described to its rejects.

        A line stays as it is while describer, prompt and the bytes of the image do; one of other bytes is described
        anew. Lines that the selection does not name stay too. Ctrl-C ends the run early, with all that was written.
        Raises ArtifactError and DataError as `ResumableFile` does, and what ends a describer.
        """
        summary, started = Summary(path, self.meter), time.monotonic()
        with (
            ResumableFile(path, self.describer.source, overwrite=overwrite) as file,
            RejectsFile(rejects_path(path)) as rejects,
        ):
            for image, reason in selection.refused:
                rejects.add(Item(image), reason)
            try:
                self._describe(self._missing(selection.items, file, rejects, summary), file, rejects, summary)
            except KeyboardInterrupt:
                summary.interrupted = True
            summary.rejected = rejects.count
        summary.seconds = time.monotonic() - started
        return summary

    def _missing(
        self, items: Sequence[Item], file: ResumableFile, rejects: RejectsFile, summary: Summary
    ) -> list[list[Item]]:
        """What has no line of the image as it is now, by image. Lines of images that have changed are dropped.

        Those of images that cannot be read now are kept, as they may be readable again.
        """
        recorded, missing = {}, []
        for image, group in by_image(items).items():
            if any(item.key in file.recorded for item in group):
                recorded[image] = group
            else:
                missing.append(group)
        changed: set[Key] = set()
        advance = (self.track if recorded else untracked)("checking", len(recorded))
        with closing(in_parallel(self._digest, recorded, self.jobs)) as digests:
            for image, digest in digests:
                advance(1, "")
                left = self._left(recorded[image], digest, file.recorded, changed)
                summary.skipped += len(recorded[image]) - len(left)
                if isinstance(digest, str):
                    missing += [left] if left else []
                else:
                    for item in left:
                        rejects.add(item, digest.reason)
        file.drop(changed)
        return missing

    @staticmethod
    def _left(
        group: Sequence[Item], digest: str | Rejected, recorded: Mapping[Key, str], changed: set[Key]
    ) -> list[Item]:
        """The items that are still to be described; keys whose image has changed are added to `changed`."""
        if isinstance(digest, Rejected):
            return list(group)
        changed.update(item.key for item in group if recorded.get(item.key, digest) != digest)
        return [item for item in group if item.key not in recorded or item.key in changed]

    def _digest(self, image: str) -> tuple[str, str | Rejected]:
        data = self._bytes(image)
        return image, data if isinstance(data, Rejected) else hashlib.sha256(data).hexdigest()

    def _describe(
        self, groups: Sequence[Sequence[Item]], file: ResumableFile, rejects: RejectsFile, summary: Summary
    ) -> None:
        advance = self.track("describing", sum(len(group) for group in groups))
        with closing(in_parallel(self._outcomes, groups, self.jobs)) as results:
            for outcomes in results:
                self._record(outcomes, file, rejects, summary)
                advance(len(outcomes), self._note(rejects))

    def _record(
        self, outcomes: Iterable["_Outcome"], file: ResumableFile, rejects: RejectsFile, summary: Summary
    ) -> None:
        source = self.describer.source
        for item, digest, answer in outcomes:
            if isinstance(answer, Rejected):
                rejects.add(item, answer.reason)
                continue
            line = Description(
                image=item.image,
                caption_id=item.caption_id,
                text=answer,
                image_sha256=digest,
                describer=source.describer,
                prompt_hash=source.prompt_hash,
            )
            file.add(line)
            summary.described += 1

    def _note(self, rejects: RejectsFile) -> str:
        cost = self.meter.cost
        parts = [f"{rejects.count} rejected" if rejects.count else "", "" if cost is None else f"cost {cost:.4f}"]
        return ", ".join(part for part in parts if part)

    def _outcomes(self, group: Sequence[Item]) -> list["_Outcome"]:
        """Read, decode and describe one image, for all of its items."""
        data = self._bytes(group[0].image)
        if isinstance(data, Rejected):
            return [_Outcome(item, "", data) for item in group]
        digest, at_least = hashlib.sha256(data).hexdigest(), self.describer.at_least
        try:
            image = _reduced(decode_image(data, at_least=at_least), at_least)
        except InvalidInput as error:
            return [_Outcome(item, digest, Rejected(str(error))) for item in group]
        del data  # a describer may take its time
        answers = self.describer.describe([Subject(item.image, image, item.caption) for item in group])
        return [_Outcome(item, digest, answer) for item, answer in zip(group, answers, strict=True)]

    def _bytes(self, image: str) -> bytes | Rejected:
        try:
            return self.read(image)
        except InvalidInput as error:
            return Rejected(str(error))
        except OSError as error:
            return Rejected(f"the file cannot be read: {(error.strerror or str(error)).lower()}")


class _Outcome(NamedTuple):
    """What became of one item, and the SHA-256 of its image."""

    item: Item
    digest: str
    answer: str | Rejected


def _reduced(image: Image.Image, at_least: int) -> Image.Image:
    """An image that waits for an answer without megapixels that nobody looks at; no side gets below `at_least`."""
    factor = min(image.size) // (2 * at_least)
    return image.reduce(factor) if factor > 1 else image
