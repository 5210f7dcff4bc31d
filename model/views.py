"""Views of one image, whose embeddings are averaged: as it is, and mirrored. For galleries, where it is paid once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MOST_VIEWS = 2


def views_of(pixels: Floats, views: int) -> list[Floats]:
    """The first `views` views, from 1 to MOST_VIEWS, of pixels [..., H, W]."""
    # Queries have one view, and must not pay for a mirror image that nobody looks at.
    return [pixels] if views == 1 else [pixels, np.ascontiguousarray(pixels[..., ::-1])]


def averaged(embeddings: Sequence[Floats]) -> Floats:
    """The L2-normalised mean [..., D] of the embeddings of several views; that of one view is returned as it is."""
    if len(embeddings) == 1:
        return embeddings[0]
    total = np.sum(embeddings, axis=0, dtype=np.float64)
    mean: Floats = (total / np.linalg.norm(total, axis=-1, keepdims=True)).astype(np.float32)
    return mean
