"""Embeddings of texts and images that were asked for before, for every version of the index of one model."""

import numpy as np
from numpy.typing import NDArray

from service.cache import Cache
from service.obs.observers import CacheObserver

_TYPE = np.dtype("<f4")


class EmbeddingCache:
    """Embeddings [D] as D little-endian numbers of 32 bits, under the digest of what was embedded."""

    def __init__(self, cache: Cache, observer: CacheObserver | None = None) -> None:
        self._cache = cache
        self._observer = observer

    async def get(self, model_id: str, digest: str, dimension: int) -> NDArray[np.float32] | None:
        """The embedding of what has this digest; None also where something of another length is stored."""
        stored = await self._cache.get(_key(model_id, digest))
        found = stored is not None and len(stored) == dimension * _TYPE.itemsize
        if self._observer is not None:
            self._observer.count_cache("embeddings", "hit" if found else "miss")
        if not found or stored is None:
            return None
        embedding = np.frombuffer(stored, _TYPE).astype(np.float32)
        return embedding if np.isfinite(embedding).all() else None

    async def put(self, model_id: str, digest: str, embedding: NDArray[np.float32]) -> None:
        """Keep an embedding."""
        await self._cache.put(_key(model_id, digest), embedding.astype(_TYPE).tobytes())


def _key(model_id: str, digest: str) -> str:
    return f"embedding:{model_id}:{digest}"
