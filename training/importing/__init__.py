"""`aahr import`: a CLIP or SigLIP directory of `transformers` to the model artifact that indexing and serving run."""

from training.importing.command import import_model

__all__ = ["import_model"]
