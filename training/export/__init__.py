"""`aahr export`: a checkpoint to the model artifact that indexing and serving run without torch."""

from training.export.command import export
from training.export.parity import SMALLEST_COSINE
from training.export.retention import MOST_LOST_RSUM

__all__ = ["MOST_LOST_RSUM", "SMALLEST_COSINE", "export"]
