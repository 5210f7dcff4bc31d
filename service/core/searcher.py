"""From a query to its results: plan, encode, search. No HTTP here."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

from index.items import Modality
from index.queries import resolve_target
from service.core.budget import Workers
from service.core.generation import Generation, Lookup
from service.core.judging import judge
from service.core.query import (
    Embedded,
    Embedding,
    Id,
    Image,
    Query,
    Results,
    Source,
    Text,
    Vector,
    combined,
    unit_vector,
)
from service.obs.timing import Stopwatch

# Hashing this much takes less time than handing it to a thread.
_LARGE_BYTES = 256_000


class EmbeddingCache(Protocol):
    """Embeddings of what was embedded before, by model and digest; see `service.cache`."""

    async def get(self, model_id: str, digest: str, dimension: int) -> Embedding | None: ...

    async def put(self, model_id: str, digest: str, embedding: Embedding) -> None: ...


class Searcher:
    """Answers queries from the generation that it is given."""

    def __init__(self, workers: Workers, embeddings: EmbeddingCache | None = None) -> None:
        self.workers = workers
        self._embeddings = embeddings

    async def search(self, generation: Generation, query: Query, watch: Stopwatch) -> Results:
        """The results of a query.

        Raises InvalidInput or ItemNotFound for a query that cannot be used, OverloadedError where too many wait, and
        NotReadyError where an encoder fails.
        """
        embedded = await self.embed(generation, query, watch)
        target, note = resolve_target(embedded.modality, query.target, generation.collection)
        normalise = query.options.normalise and query.crosses(embedded.modality, target)
        options = replace(query.options, normalise=normalise)
        lookup = Lookup(embedded.embedding, target, options, query.unique)
        hits = await generation.search.submit(lookup, watch)
        gallery = generation.collection.count(target)
        judged = judge(generation.calibration, query, embedded.modality, target, hits, gallery=gallery)
        said = (note, None if judged is None else judged.note)
        return Results(
            hits,
            target,
            embedded.truncated,
            (*embedded.notes, *(text for text in said if text)),
            embedded.description,
            embedded.lasting,
            None if judged is None else judged.probabilities,
            None if judged is None else judged.equally_good,
        )

    async def embed(self, generation: Generation, query: Query, watch: Stopwatch) -> Embedded:
        """The query as one vector; its parts are embedded side by side."""
        if len(query.parts) == 1:
            source, weight = query.parts[0]
            return combined([(weight, await self._embed(generation, source, watch))])
        embedded = await _all([self._embed(generation, part.source, watch) for part in query.parts])
        return combined([(part.weight, found) for part, found in zip(query.parts, embedded, strict=True)])

    async def _embed(self, generation: Generation, source: Source, watch: Stopwatch) -> Embedded:
        match source:
            case Id(item_id):
                return await self.workers.run(lambda: _of_item(generation, item_id), watch)
            case Vector(values):
                # A bare vector has no modality: like a text, it searches images unless the request says otherwise.
                return Embedded(unit_vector(values, generation.encoder.runtime.dimension), Modality.TEXT)
            case Text() | Image():
                return await self._encoded(generation, source, watch)

    async def _encoded(self, generation: Generation, source: Text | Image, watch: Stopwatch) -> Embedded:
        runtime, cache = generation.encoder.runtime, self._embeddings
        large = isinstance(source, Image) and len(source.content) > _LARGE_BYTES
        digest = await self.workers.run(lambda: source.digest, watch) if large else source.digest
        if cache is not None:
            with watch.measure("cache"):
                known = await cache.get(runtime.model_id, digest, runtime.dimension)
            if known is not None:
                return Embedded(known, source.modality)
        if isinstance(source, Text):
            found = await generation.encoder.text(source.text, watch)
        else:
            found = await generation.encoder.image(source.content, watch)
        # What the notes and the description say is not kept, so that it would be lost.
        if cache is not None and not found.notes and found.description is None:
            await cache.put(runtime.model_id, digest, found.embedding)
        return found


def _of_item(generation: Generation, item_id: str) -> Embedded:
    return Embedded(generation.collection.embedding(item_id), generation.collection.item(item_id).modality)


async def _all(parts: Sequence[Coroutine[Any, Any, Embedded]]) -> list[Embedded]:
    """The results of all; the first that fails cancels the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in parts]
    return [task.result() for task in tasks]
