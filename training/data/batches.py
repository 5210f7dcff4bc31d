"""Which images and captions go into a step, and how they become tensors. Plans follow from seed and epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from model.nn.aahr import TokenBatch
from model.nn.features import LocalFeatures
from model.nn.semantic import Semantics
from training.config import BatchConfig
from training.data.dataset import ImageTextDataset
from training.data.families import whole_family_batches
from training.data.semantics import SemanticTable
from training.data.sentence_embeddings import SentenceEmbeddingTable
from training.soft_positives import SentenceEmbeddings

Rows = NDArray[np.int64]


class BatchPlan(NamedTuple):
    """Rows of one step: N distinct images, M of their captions.

    `joined_image_rows` are the images of all processes that share the step; in a plan of one process its own.
    """

    image_rows: Rows  # [N]
    view_of_image: Rows  # [N], which cached view of each image
    caption_rows: Rows  # [M]
    image_of_caption: Rows  # [M], into image_rows
    joined_image_rows: Rows


class Batch(NamedTuple):
    """Tensors of one step."""

    images: LocalFeatures
    texts: LocalFeatures | TokenBatch
    image_of_caption: Tensor  # [M]
    image_ids: Tensor  # [N]
    sentence_embeddings: SentenceEmbeddings | None = None  # where the recipe has soft positives
    neutral: Tensor | None = None  # [M, N of all processes], where a caption holds for an image that is not its own
    semantics: Semantics | None = None  # where the model fuses them


class ImageSource(Protocol):
    """Image features by row; padded with a mask."""

    def batch(self, rows: Rows) -> LocalFeatures:
        """Features of the given rows."""
        ...


class TextSource(Protocol):
    """Token states, or token ids where the text backbone is fine-tuned, by row of the caption."""

    def batch(self, rows: Rows) -> LocalFeatures | TokenBatch:
        """Features or tokens of the given rows."""
        ...


def steps_per_epoch(dataset: ImageTextDataset, batch: BatchConfig) -> int:
    """Whole batches only: what is left over comes in another epoch."""
    generator = np.random.default_rng(0)  # what is drawn does not change the number
    return sum(len(_batches_of_round(dataset, batch, rows, generator)) for rows in _rounds(dataset, batch))


def plan_epoch(dataset: ImageTextDataset, batch: BatchConfig, *, views: int, seed: int, epoch: int) -> list[BatchPlan]:
    """The batches of one epoch, in each every image once with up to `captions_per_image` of its captions.

    Over images, an epoch shows every image once. Over captions, it shows every image with the next of its captions,
    round after round, until all were shown.
    """
    generator = np.random.default_rng([seed, epoch])
    captions_of = _captions_of_images(dataset)
    if batch.epoch_over == "captions":
        captions_of = [generator.permutation(captions) for captions in captions_of]
    plans = []
    for number, round_rows in enumerate(_rounds(dataset, batch)):
        for rows in _batches_of_round(dataset, batch, round_rows, generator):
            chosen = [_chosen(captions_of[row], batch, number, generator) for row in rows]
            image_of_caption = np.repeat(np.arange(len(rows)), [len(captions) for captions in chosen])
            view = generator.integers(0, views, len(rows))
            plans.append(BatchPlan(rows, view, np.concatenate(chosen), image_of_caption, rows))
    return plans


def _batches_of_round(
    dataset: ImageTextDataset, batch: BatchConfig, rows: Rows, generator: np.random.Generator
) -> list[Rows]:
    """The images of each batch of a round, [N] each."""
    if batch.whole_families and dataset.families is not None:
        return whole_family_batches(rows, dataset.families[rows], batch.images, generator)
    order = generator.permutation(rows)
    return [order[start : start + batch.images] for start in range(0, len(order) - batch.images + 1, batch.images)]


def _rounds(dataset: ImageTextDataset, batch: BatchConfig) -> list[Rows]:
    """The rows of the images of each round of an epoch: all of them, then those with captions left."""
    if batch.epoch_over == "images":
        return [np.arange(len(dataset))]
    count = np.bincount(dataset.image_of_caption, minlength=len(dataset))
    starts = range(0, int(count.max()), batch.captions_per_image)
    return [np.flatnonzero(count > start) for start in starts]


def _chosen(captions: Rows, batch: BatchConfig, number: int, generator: np.random.Generator) -> Rows:
    """The captions that an image shows in a round: drawn anew, or the next of an order drawn for the epoch."""
    if batch.epoch_over == "images":
        return generator.permutation(captions)[: batch.captions_per_image]
    return captions[number * batch.captions_per_image : (number + 1) * batch.captions_per_image]


def _captions_of_images(dataset: ImageTextDataset) -> list[Rows]:
    order = np.argsort(dataset.image_of_caption, kind="stable")
    count = np.bincount(dataset.image_of_caption, minlength=len(dataset.image_paths))
    return np.split(order, np.cumsum(count)[:-1])


@dataclass(frozen=True)
class Collator:
    """Turns plans into tensors, with the size augmentation; `views` are tables of the images in their views."""

    dataset: ImageTextDataset
    views: tuple[ImageSource, ...]
    texts: TextSource
    augmentation: BatchConfig
    mask_token: int | None = None
    sentence_embeddings: SentenceEmbeddingTable | None = None
    semantics: SemanticTable | None = None

    def __call__(self, plan: BatchPlan) -> Batch:
        """The batch of a plan. Augmentation draws from torch's global generator."""
        texts = self.texts.batch(plan.caption_rows)
        if isinstance(texts, TokenBatch):
            texts = change_words(texts, self.augmentation.change_words, self.mask_token)
        else:
            texts = drop_fragments(texts, self.augmentation.change_words)
        return Batch(
            images=drop_fragments(self._images(plan), self.augmentation.drop_cells),
            texts=texts,
            image_of_caption=torch.from_numpy(plan.image_of_caption),
            image_ids=torch.from_numpy(self.dataset.image_ids[plan.image_rows]),
            sentence_embeddings=self._sentence_embeddings(plan),
            neutral=self._neutral(plan),
            semantics=self._semantics(plan),
        )

    def _neutral(self, plan: BatchPlan) -> Tensor | None:
        """Where a caption holds for an image that is not its own; None for data that says nothing of it."""
        if not len(self.dataset.also_holds):
            return None
        return torch.from_numpy(self._holds[plan.caption_rows][:, plan.joined_image_rows].toarray())

    @cached_property
    def _holds(self) -> csr_array:
        captions, images = self.dataset.also_holds.T
        shape = len(self.dataset.captions), len(self.dataset)
        return csr_array((np.ones(len(captions), np.bool_), (captions, images)), shape)  # type: ignore[no-untyped-call]

    def _semantics(self, plan: BatchPlan) -> Semantics | None:
        if self.semantics is None:
            return None
        _, first = np.unique(plan.image_of_caption, return_index=True)  # a caption of each image, drawn by the plan
        found = self.semantics.batch(plan.caption_rows, described_by=plan.caption_rows[first])
        return self.semantics.without_some(found, self.augmentation.drop_descriptions)

    def _sentence_embeddings(self, plan: BatchPlan) -> SentenceEmbeddings | None:
        if self.sentence_embeddings is None:
            return None
        return self.sentence_embeddings.batch(plan.image_rows, plan.caption_rows)

    def _images(self, plan: BatchPlan) -> LocalFeatures:
        """Each image in its view; nothing is read of the others."""
        order = np.argsort(plan.view_of_image, kind="stable")
        numbers, starts = np.unique(plan.view_of_image[order], return_index=True)
        groups = np.split(plan.image_rows[order], starts[1:])
        joined = _stack_padded([self.views[number].batch(rows) for number, rows in zip(numbers, groups, strict=True)])
        back = torch.from_numpy(np.argsort(order))
        return LocalFeatures(*(tensor[back] for tensor in joined))


def _stack_padded(parts: Sequence[LocalFeatures]) -> LocalFeatures:
    """The items of all parts in order, padded with zeros to the longest of them."""
    longest = max(part.mask.shape[1] for part in parts)
    missing = [longest - part.mask.shape[1] for part in parts]
    return LocalFeatures(
        torch.cat([F.pad(part.features, (0, 0, 0, count)) for part, count in zip(parts, missing, strict=True)]),
        torch.cat([F.pad(part.mask, (0, count)) for part, count in zip(parts, missing, strict=True)]),
        torch.cat([part.global_features for part in parts]),
    )


def drop_fragments(item: LocalFeatures, probability: float) -> LocalFeatures:
    """Hide each valid fragment with a probability; the first one always stays, so that no item becomes empty."""
    if probability == 0:
        return item
    kept = item.mask & (torch.rand(item.mask.shape) >= probability)
    kept[:, 0] = item.mask[:, 0]
    return item._replace(mask=kept)


def change_words(tokens: TokenBatch, probability: float, mask_token: int | None) -> TokenBatch:
    """Of the words mask 50 %, replace 10 % or delete 40 % of a share of `probability` (VSE-infinity, section 4.3).

    The first and the last token of a text ([CLS] and [SEP]) stay, and are never what another one is replaced by.
    Deleted tokens are hidden by the attention mask.
    """
    if probability == 0:
        return tokens
    ids, mask = tokens.input_ids.clone(), tokens.attention_mask.clone()
    last = mask.sum(dim=1, keepdim=True) - 1
    position = torch.arange(ids.shape[1]).expand_as(ids)
    word = (position > 0) & (position < last)
    changed = (torch.rand(ids.shape) < probability) & word
    what = torch.rand(ids.shape)
    if mask_token is not None:
        ids[changed & (what < 0.5)] = mask_token
    replaced = changed & (what >= 0.5) & (what < 0.6)
    words = tokens.input_ids[word]  # of this batch: always of the vocabulary
    ids[replaced] = words[torch.randint(max(1, len(words)), (int(replaced.sum()),))]
    mask[changed & (what >= 0.6)] = 0
    return tokens._replace(input_ids=ids, attention_mask=mask)
