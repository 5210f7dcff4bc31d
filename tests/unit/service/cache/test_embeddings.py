"""Embeddings are found again exactly, by model and content, and never in another length."""

import asyncio

import numpy as np
import pytest

from service.cache.embeddings import EmbeddingCache
from service.cache.memory import MemoryCache
from service.core.query import Image, Text


def test_an_embedding_is_found_by_model_and_content() -> None:
    async def scenario() -> None:
        cache = EmbeddingCache(MemoryCache(10_000, 60))
        embedding = np.array([0.1, -0.2, 0.3], np.float32)
        await cache.put("model", Text("red").digest, embedding)
        found = await cache.get("model", Text("red").digest, 3)
        assert found is not None
        assert found.tobytes() == embedding.tobytes()
        assert await cache.get("model", Image(b"red").digest, 3) is None
        assert await cache.get("other", Text("red").digest, 3) is None
        assert await cache.get("model", Text("red").digest, 4) is None

    asyncio.run(scenario())


@pytest.mark.parametrize("stored", [b"", b"abc", bytes(13), np.array([np.nan, 1, 1], "<f4").tobytes()])
def test_what_is_no_embedding_is_a_miss(stored: bytes) -> None:
    async def scenario() -> None:
        memory = MemoryCache(10_000, 60)
        await memory.put("embedding:model:key", stored)
        assert await EmbeddingCache(memory).get("model", "key", 3) is None

    asyncio.run(scenario())
