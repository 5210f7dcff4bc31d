"""RaBitQ: one bit a dimension of the rotated rest beside a centroid, with an unbiased estimate of the inner product.

Gao and Long, SIGMOD 2024. A row takes a thirty-second of its float32 size and 16 bytes; exact re-ranking does the rest.
"""

from typing import Any

import faiss

from index.ann.ivf import InvertedLists

_QUERY_BITS = 8
_ROW_BITS = 1
_FACTOR_BYTES = 8


class RabitqLists(InvertedLists):
    """Inverted lists of RaBitQ codes; a random rotation spreads each row over all dimensions, as the estimate needs."""

    name = "rabitq"
    rotated = True

    def code_bytes(self, dimension: int) -> int:
        return -(-dimension // 8) + _FACTOR_BYTES

    def empty_lists(self, quantizer: Any, dimension: int, lists: int) -> Any:
        return faiss.IndexIVFRaBitQ(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT, True, _ROW_BITS)

    def list_parameters(self, *, nprobe: int, sel: Any | None) -> Any:
        return faiss.IVFRaBitQSearchParameters(nprobe=nprobe, sel=sel, qb=_QUERY_BITS)
