"""`aahr export`: a checkpoint to the model artifact that indexing and serving run without torch."""

from training.export.command import export
from training.export.parity import MIN_COSINE
from training.export.retention import MAX_RSUM_DROP

__all__ = ["MAX_RSUM_DROP", "MIN_COSINE", "export"]
