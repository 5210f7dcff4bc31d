"""What is to be published: rows of embeddings with their metadata, before anything of a version is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from index.items import Embeddings, Modality
from index.manifest import IndexedModel
from index.rejects import Reject


@dataclass(frozen=True)
class PendingRows:
    """Items of one modality; row n of `vectors` is row n of `metadata`.

    `vectors` [N, D] are L2-normalised and may be memory-mapped; `metadata` has the columns of
    `index.metadata.SCHEMA` (id, image_id, uri, caption, payload, fingerprint, description).
    """

    vectors: Embeddings
    metadata: pa.Table

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class PendingVersion:
    """All rows of a version to be, the files that were refused, and how many captions had no image.

    `stale` counts images without a description since their file has changed after they were described.
    """

    model: IndexedModel
    images_root: Path
    rows: Mapping[Modality, PendingRows]
    rejects: Sequence[Reject] = ()
    left_out: int = 0
    stale: int = 0
