"""From the records of a source to embeddings: bounded, resumable, parallel."""

from index.embedding.known import Known, KnownRows
from index.embedding.pipeline import MAX_REJECTS, Settings, discard, embed_source

__all__ = ["MAX_REJECTS", "Known", "KnownRows", "Settings", "discard", "embed_source"]
