"""Changes of the gallery while it is searched: admission, embedding, and publication by the one writer."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from index.additions import Addition
from index.collection.store import Store
from model.errors import AahrError, ArtifactMismatch, InvalidInput
from service.core.errors import OverloadedError
from service.core.generations import Generations
from service.core.items import Changed, NewItem, Outcome, embedded
from service.core.writer import Deletes, Upserts, Writer
from service.obs.timing import Stopwatch

# Of images and captions at a time: searches share the encoders, and must find room in their queues.
_EMBEDDED_AT_A_TIME = 32
_WAITING_BYTES = 256 * 2**20
_RETRY_AFTER_S = 2.0


class Changes:
    """Adds, replaces and deletes items; every method belongs to the event loop."""

    def __init__(self, generations: Generations, store: Store, max_queue: int) -> None:
        """`max_queue`: how many items may be waiting to be published."""
        self._generations = generations
        self._writer = Writer(generations, store)
        self._slots = asyncio.Semaphore(max(1, min(_EMBEDDED_AT_A_TIME, max_queue // 4)))
        self._max_queue = max_queue
        self._items = self._bytes = 0

    async def upsert(self, items: Sequence[NewItem], watch: Stopwatch) -> Changed:
        """Put images with their captions into the gallery, each in place of the one that had its id.

        An item that cannot be used is an error among the outcomes and harms no other. Raises OverloadedError where too
        many wait, NotReadyError where an encoder fails, and what `Writer.submit` raises; then nothing has changed.
        """
        with self._admitted(len(items), sum(len(item.image) for item in items)):
            try:
                return await self._upsert(items, watch)
            except ArtifactMismatch:  # Another model was published meanwhile: its embeddings are wanted.
                await self._generations.reload()
                return await self._upsert(items, watch)

    async def delete(self, ids: Sequence[str]) -> Changed:
        """Take items out of the gallery, captions together with their image; ids that no item has are errors.

        Raises as `upsert`.
        """
        with self._admitted(len(ids), 0):
            return await self._writer.submit(Deletes(ids))

    async def close(self) -> None:
        """Finish what has come."""
        await self._writer.close()

    async def _upsert(self, items: Sequence[NewItem], watch: Stopwatch) -> Changed:
        prepared, embedded_by = await self._prepared(items, watch)
        additions = [addition for addition in prepared if isinstance(addition, Addition)]
        with watch.measure("publish"):
            changed = await self._writer.submit(Upserts(additions, embedded_by))
        rest = iter(changed.outcomes)
        outcomes: list[Outcome] = [next(rest) if isinstance(part, Addition) else part for part in prepared]
        return changed._replace(outcomes=outcomes)

    async def _prepared(self, items: Sequence[NewItem], watch: Stopwatch) -> tuple[list[Addition | AahrError], str]:
        """Each item embedded, or why it cannot be; and the model that did it."""
        with self._generations.current as generation:
            embedded_by = generation.collection.model.embedding_key
            views = generation.collection.model.views
            tasks = [
                asyncio.ensure_future(embedded(item, generation.encoder, views, self._slots, watch)) for item in items
            ]
            done = await asyncio.gather(*tasks, return_exceptions=True)
        prepared: list[Addition | AahrError] = []
        for part in done:
            fault = part.exceptions[0] if isinstance(part, BaseExceptionGroup) else part
            if isinstance(fault, BaseException) and not isinstance(fault, InvalidInput | OverloadedError):
                raise fault
            prepared.append(fault)
        return prepared, embedded_by

    @contextmanager
    def _admitted(self, items: int, size: int) -> Iterator[None]:
        """Count what waits; one change is always let in, whatever its size."""
        if self._items and (self._items + items > self._max_queue or self._bytes + size > _WAITING_BYTES):
            raise OverloadedError(f"{self._items} items are waiting to be published; try again later", _RETRY_AFTER_S)
        self._items += items
        self._bytes += size
        try:
            yield
        finally:
            self._items -= items
            self._bytes -= size
