"""Sentence embeddings of descriptions and captions by row: what a network with semantics takes beside its features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.nn.semantic import SemanticFusion, Semantics

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
MISSING = -1


@dataclass(frozen=True, eq=False)
class SemanticTable:
    """Sentence embeddings of a split.

    As they come from the sentence encoder they are S wide; `placed` gives them as the network takes them, D wide, with
    what stands in for a missing description as the last row, which is where MISSING points.

    Attributes:
        descriptions: [P, S], or [P + 1, D] once placed.
        of_image: row of each image's description, [N], or MISSING.
        of_caption: row of the description that belongs to each caption, [M]; that of its image where it has none.
        captions: of the captions themselves, [M, S] or [M, D].
    """

    descriptions: Floats
    of_image: Rows
    of_caption: Rows
    captions: Floats

    def placed(self, fusion: SemanticFusion) -> "SemanticTable":
        """The same as a network takes it, through its own projection and with its own missing description."""
        descriptions, captions = (projected(fusion, vectors) for vectors in (self.descriptions, self.captions))
        missing = fusion.missing.detach().cpu().numpy()[None]
        return SemanticTable(np.concatenate([descriptions, missing]), self.of_image, self.of_caption, captions)

    @property
    def of_images(self) -> Floats:
        """Semantics [N, D] of the images, once placed."""
        vectors: Floats = self.descriptions[self.of_image]
        return vectors

    def batch(self, caption_rows: Rows, *, described_by: Rows) -> Semantics:
        """Of some captions, and of images, each described as for the caption of it in `described_by`, [N]."""
        chosen = self.descriptions[self.of_caption[described_by]]
        return Semantics(torch.from_numpy(chosen), torch.from_numpy(self.captions[caption_rows]))

    def without_some(self, given: Semantics, probability: float) -> Semantics:
        """The same, each description replaced by the missing one with a probability, drawn from torch's generator."""
        if probability == 0:
            return given
        dropped = torch.rand(len(given.images), 1) < probability
        return given._replace(images=torch.where(dropped, torch.from_numpy(self.descriptions[MISSING]), given.images))


def join_semantics(tables: Sequence[SemanticTable]) -> SemanticTable:
    """One table after the other, none of them placed."""
    starts = np.cumsum([0, *(len(table.descriptions) for table in tables)])

    def shifted(rows: Sequence[Rows]) -> Rows:
        moved = [np.where(each == MISSING, MISSING, each + start) for each, start in zip(rows, starts, strict=False)]
        return np.concatenate(moved)

    return SemanticTable(
        np.concatenate([table.descriptions for table in tables]),
        shifted([table.of_image for table in tables]),
        shifted([table.of_caption for table in tables]),
        np.concatenate([table.captions for table in tables]),
    )


def projected(fusion: SemanticFusion, vectors: Floats) -> Floats:
    """Sentence embeddings [n, S] to semantics [n, D] by the network's own projection."""
    with torch.inference_mode():
        device = fusion.missing.device
        found: Floats = fusion.projection(torch.from_numpy(vectors).to(device)).cpu().numpy()
    return found
