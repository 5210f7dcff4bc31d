"""Images with their captions, as arrays of ids and rows; where they come from is the readers' business."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class ImageTextDataset:
    """N images and M captions, every caption of one image and every image with at least one caption.

    Attributes:
        name: for messages, such as "flickr8k train".
        image_paths: N image files.
        image_ids: unique and not negative, [N].
        captions: M sentences.
        caption_ids: unique and not negative, [M].
        image_of_caption: row of the image that each caption belongs to, [M].
        families: the same number for images that differ in little, [N]; None where nothing is known of that.
        also_holds: rows of captions and of images, not their own, for which these captions are known to hold, [P, 2].
    """

    name: str
    image_paths: tuple[Path, ...]
    image_ids: NDArray[np.int64]
    captions: tuple[str, ...]
    caption_ids: NDArray[np.int64]
    image_of_caption: NDArray[np.int64]
    families: NDArray[np.int64] | None = None
    also_holds: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))

    def __post_init__(self) -> None:
        """Raise DataError naming what does not fit together."""
        self._check_lengths()
        for kind, ids in (("image", self.image_ids), ("caption", self.caption_ids)):
            _check_ids(f"{kind} id", ids, self.name)
        self._check_rows()
        blank = next((row for row, caption in enumerate(self.captions) if not caption.strip()), None)
        if blank is not None:
            raise DataError(f"caption {self.caption_ids[blank]} of {self.name} is empty; remove it or write it")

    def __len__(self) -> int:
        """The number of images."""
        return len(self.image_paths)

    def subset(self, rows: NDArray[np.int64], name: str | None = None) -> "ImageTextDataset":
        """The images at these rows, in their order, with all their captions; ids stay."""
        new_row = np.full(len(self), -1, np.int64)
        new_row[rows] = np.arange(len(rows))
        of_captions = new_row[self.image_of_caption]  # [M], -1 for captions that go
        kept = np.flatnonzero(of_captions >= 0)
        kept = kept[np.argsort(of_captions[kept], kind="stable")]
        new_caption = np.full(len(self.captions), -1, np.int64)
        new_caption[kept] = np.arange(len(kept))
        also_holds = np.stack([new_caption[self.also_holds[:, 0]], new_row[self.also_holds[:, 1]]], axis=1)
        return ImageTextDataset(
            name=name or f"{self.name} ({len(rows)} images)",
            image_paths=tuple(self.image_paths[row] for row in rows),
            image_ids=self.image_ids[rows],
            captions=tuple(self.captions[row] for row in kept),
            caption_ids=self.caption_ids[kept],
            image_of_caption=of_captions[kept],
            families=None if self.families is None else self.families[rows],
            also_holds=also_holds[(also_holds >= 0).all(axis=1)],
        )

    def _check_lengths(self) -> None:
        images, captions = len(self.image_paths), len(self.captions)
        if not images:
            raise DataError(f"{self.name} has no image")
        for what, found, expected in (
            ("image ids", self.image_ids.shape, images),
            ("caption ids", self.caption_ids.shape, captions),
            ("rows of captions' images", self.image_of_caption.shape, captions),
        ):
            if found != (expected,):
                raise DataError(f"{self.name} has {what} of shape {found}, expected ({expected},)")

    def _check_rows(self) -> None:
        rows, images = self.image_of_caption, len(self)
        outside = np.flatnonzero((rows < 0) | (rows >= images))
        if outside.size:
            caption, row = self.caption_ids[outside[0]], rows[outside[0]]
            raise DataError(f"caption {caption} of {self.name} belongs to image row {row}; there are {images} images")
        without = np.flatnonzero(np.bincount(rows, minlength=images) == 0)
        if without.size:
            raise DataError(
                f"{without.size} images of {self.name} have no caption, the first is {self.image_paths[without[0]]}"
            )


def concatenate(datasets: Sequence[ImageTextDataset]) -> ImageTextDataset:
    """One data set after the other; ids are shifted so that they stay unique."""
    return ImageTextDataset(
        name=" + ".join(dataset.name for dataset in datasets),
        image_paths=tuple(path for dataset in datasets for path in dataset.image_paths),
        image_ids=_shifted([dataset.image_ids for dataset in datasets]),
        captions=tuple(caption for dataset in datasets for caption in dataset.captions),
        caption_ids=_shifted([dataset.caption_ids for dataset in datasets]),
        image_of_caption=_concatenated_rows(datasets),
        families=_concatenated_families(datasets),
        also_holds=_concatenated_holders(datasets),
    )


def refuse_missing_images(paths: Sequence[Path], folder: Path, what: str) -> None:
    """Raise DataError that counts the images of `what` that are not files, and names the first."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(paths)} images of {what} are not below {folder}, the first is {missing[0]}"
        )


def _concatenated_rows(datasets: Sequence[ImageTextDataset]) -> NDArray[np.int64]:
    starts = np.cumsum([0, *map(len, datasets)])
    return np.concatenate([dataset.image_of_caption + start for dataset, start in zip(datasets, starts, strict=False)])


def _concatenated_families(datasets: Sequence[ImageTextDataset]) -> NDArray[np.int64] | None:
    """Families of all; an image of which nothing is known is one by itself."""
    if all(dataset.families is None for dataset in datasets):
        return None
    known = [np.arange(len(each)) if each.families is None else each.families for each in datasets]
    return _shifted(known)


def _concatenated_holders(datasets: Sequence[ImageTextDataset]) -> NDArray[np.int64]:
    captions = np.cumsum([0, *(len(dataset.captions) for dataset in datasets)])
    images = np.cumsum([0, *map(len, datasets)])
    starts = zip(datasets, captions, images, strict=False)
    return np.concatenate([dataset.also_holds + np.array([caption, image]) for dataset, caption, image in starts])


def _shifted(ids: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The first ids unchanged, each later list above the largest one before it."""
    shifted: list[NDArray[np.int64]] = []
    start = 0
    for part in ids:
        shifted.append(part + start)
        start = int(shifted[-1].max()) + 1
    return np.concatenate(shifted)


def _check_ids(kind: str, ids: NDArray[np.int64], name: str) -> None:
    if (ids < 0).any():
        raise DataError(f"{kind} {ids.min()} of {name} is negative; ids start at 0")
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{kind} {values[counts > 1][0]} of {name} occurs {counts.max()} times; ids must be unique")
