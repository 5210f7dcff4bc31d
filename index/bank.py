"""What the hubness of a gallery's items is measured by: some of its own items of the other modality."""

from dataclasses import dataclass
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from index.items import Embeddings, Rows
from model.hubness import LEAST_BANK, Codes, Floats, hubness, spread


@dataclass(frozen=True)
class Bank:
    """Embeddings [B, D] of one modality, with the ids [B] of the images that they are, or belong to."""

    vectors: Embeddings
    image_ids: pa.ChunkedArray

    @classmethod
    def of(cls, vectors: Embeddings, rows: Rows, image_ids: pa.ChunkedArray) -> Self:
        """Some of these rows of `vectors`, with the ids of their images, spread over all of them."""
        chosen = spread(len(rows))
        return cls(vectors[rows[chosen]], image_ids.take(chosen))

    @property
    def is_enough(self) -> bool:
        """Whether it says something of other queries."""
        return len(self.vectors) >= LEAST_BANK

    def hubness(self, vectors: Embeddings, image_ids: pa.ChunkedArray) -> Floats:
        """Of rows [N, D] of the other modality, [N]; a caption does not count for its own image, nor the other way."""
        known = pc.unique(self.image_ids)
        return hubness(vectors, self.vectors, _codes(image_ids, known), _codes(self.image_ids, known))


def _codes(ids: pa.ChunkedArray, known: pa.Array) -> Codes:
    """The place of each id among the known ones, -1 for another, which none of the bank has."""
    found: Codes = pc.fill_null(pc.index_in(ids, value_set=known), -1).to_numpy().astype("int64")
    return found
