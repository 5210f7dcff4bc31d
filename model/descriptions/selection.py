"""What of a data set is described: its images, or every caption of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.datasets.karpathy import KarpathyImage, KarpathySentence, SentenceId, read_karpathy
from model.errors import ConfigError, DataError

Per = Literal["image", "caption"]

# COCO's validation images that Karpathy's split adds to training.
_SPLIT_OF = {"restval": "train"}


@dataclass(frozen=True, slots=True)
class Item:
    """One description to be: of an image, or of one caption of it.

    Attributes:
        image: path below the folder of images.
        caption_id: of the caption that it belongs to; None: it belongs to the image.
        caption: what people wrote, for the prompt; None: they are not asked.
    """

    image: str
    caption_id: SentenceId | None = None
    caption: str | None = None

    @property
    def key(self) -> tuple[str, SentenceId | None]:
        """As `Description.key`."""
        return self.image, self.caption_id


class _Image(KarpathyImage[KarpathySentence]):
    split: str | None = None


def items_of_dataset(file: Path, *, split: str | None, per: Per, reference_captions: bool) -> list[Item]:
    """The images of a Karpathy file, or of one split of it; "restval" counts as "train".

    With `reference_captions` what people wrote goes into the prompts: all captions of the image, or the one that the
    description is of. Raises ConfigError where that is not allowed, and DataError for a file that cannot be used.
    """
    refuse_leaks(split=split, per=per, reference_captions=reference_captions)
    images = [image for image in read_karpathy(file, _Image).images if split in (None, _split_of(image))]
    if not images:
        raise DataError(f"{file} has no image of split {split!r}; its splits: {_splits_in(file)}")
    if per == "image":
        return [Item(image.uri, None, _joined(image) if reference_captions else None) for image in images]
    return [
        Item(image.uri, _sentence_id(file, image, sentence), sentence.raw)
        for image in images
        for sentence in image.sentences
    ]


def refuse_leaks(*, split: str | None, per: Per, reference_captions: bool) -> None:
    """Raise ConfigError for captions that people wrote in the prompts of anything but the split that is trained on."""
    if reference_captions and split != "train":
        raise ConfigError(
            f"--reference-captions with {f'--split {split}' if split else 'no --split'}: in val and test the captions "
            "are the queries that are searched with, and a description that has read them gives the answer away; "
            "use --split train, or leave out --reference-captions"
        )
    if per == "caption" and not reference_captions:
        raise ConfigError(
            "--per caption describes an image anew for each of its captions, which then has to be in the prompt: "
            "add --reference-captions --split train, or describe --per image"
        )


def by_image(items: Iterable[Item]) -> dict[str, list[Item]]:
    """The items of each image, in their order: an image is read once for all of them."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.image, []).append(item)
    return groups


def _split_of(image: _Image) -> str | None:
    return _SPLIT_OF.get(image.split, image.split) if image.split is not None else None


def _splits_in(file: Path) -> str:
    counts = Counter(image.split for image in read_karpathy(file, _Image).images)
    return ", ".join(sorted(split for split in counts if split is not None)) or "none"


def _joined(image: _Image) -> str:
    return "\n".join(sentence.raw.strip() for sentence in image.sentences)


def _sentence_id(file: Path, image: _Image, sentence: KarpathySentence) -> SentenceId:
    if sentence.sentid is None:
        raise DataError(
            f"{file}: the sentence {sentence.raw!r:.60} of {image.uri} has no sentid, by which --per caption keys "
            "descriptions; number the sentences, or describe --per image"
        )
    return sentence.sentid
