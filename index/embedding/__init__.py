"""From the records of a source to embeddings: bounded, resumable, parallel."""

from index.embedding.pipeline import MAX_REJECTS, Settings, discard, embed_source
from index.known import Known, KnownRows

__all__ = ["MAX_REJECTS", "Known", "KnownRows", "Settings", "discard", "embed_source"]
