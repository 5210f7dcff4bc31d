"""The batches of shards on threads of this machine."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from index.embedding.batches import Embedder, ImageResult, TextResult
from index.embedding.plan import TEXT_BATCH, Shard
from index.embedding.rows import ShardRows, shard_rows
from index.progress import Advance

Result = TypeVar("Result")

# Batches that wait for a thread: enough that none runs dry while a shard is written.
_AHEAD = 3


@dataclass(frozen=True)
class Counters:
    """Are told how many more images and captions are done."""

    images: Advance
    captions: Advance


class Engine(Protocol):
    """Embeds shards, wherever that is; the rows are the same on every engine."""

    def __call__(
        self, embedder: Embedder, shards: Iterable[Shard], batch: int, counters: Counters
    ) -> Iterator[tuple[Shard, ShardRows]]:
        """The rows of each shard, in any order, with a bounded number of shards in memory."""


@dataclass(frozen=True)
class Threads:
    """The engine of one machine: threads share the cores, batch by batch."""

    workers: int

    def __call__(
        self, embedder: Embedder, shards: Iterable[Shard], batch: int, counters: Counters
    ) -> Iterator[tuple[Shard, ShardRows]]:
        for shard, results in _by_shard(in_order(_batches(embedder, shards, batch), self.workers, counters)):
            yield shard, _rows(shard, results, embedder)


@dataclass(frozen=True)
class Batch:
    """One call of an encoder: the batch's place in its shard, and the call."""

    shard: Shard
    rows: range | list[int]
    run: Callable[[], list[ImageResult] | list[TextResult]]
    is_last: bool


def embed_shard(embedder: Embedder, shard: Shard, batch: int) -> ShardRows:
    """One shard, a batch after the other."""
    return _rows(shard, [(each, each.run()) for each in _batches_of(embedder, shard, batch)], embedder)


def in_order(batches: Iterable[Batch], threads: int, counters: Counters) -> Iterator[tuple[Batch, Any]]:
    """The results in the order of the batches; `Executor.map` would run ahead of a slow consumer without bound."""
    waiting: deque[tuple[Batch, Future[Any]]] = deque()

    def next_result() -> tuple[Batch, Any]:
        batch, future = waiting.popleft()
        result = future.result()
        (counters.images if isinstance(batch.rows, range) else counters.captions)(len(batch.rows))
        return batch, result

    with ThreadPoolExecutor(threads, thread_name_prefix="embed") as pool:
        try:
            for batch in batches:
                waiting.append((batch, pool.submit(batch.run)))
                if len(waiting) >= _AHEAD * threads:
                    yield next_result()
            while waiting:
                yield next_result()
        finally:
            for _, future in waiting:
                future.cancel()


def _batches(embedder: Embedder, shards: Iterable[Shard], batch: int) -> Iterator[Batch]:
    return (each for shard in shards for each in _batches_of(embedder, shard, batch))


def _batches_of(embedder: Embedder, shard: Shard, batch: int) -> Iterator[Batch]:
    texts = shard.text_batches(TEXT_BATCH)
    images = shard.image_batches(batch)
    captions = shard.captions()
    for rows in images:
        if embedder.regions is None:
            run = partial(embedder.images, shard.records[rows.start : rows.stop])
        else:
            of_source = range(shard.start + rows.start, shard.start + rows.stop)
            run = partial(embedder.region_images, of_source, shard.records[rows.start : rows.stop])
        yield Batch(shard, rows, run, is_last=not texts and rows is images[-1])
    for places in texts:
        chosen = [captions[place].text for place in places]
        yield Batch(shard, places, partial(embedder.captions, chosen), is_last=places is texts[-1])


def _by_shard(results: Iterable[tuple[Batch, Any]]) -> Iterator[tuple[Shard, list[tuple[Batch, Any]]]]:
    collected: list[tuple[Batch, Any]] = []
    for batch, result in results:
        collected.append((batch, result))
        if batch.is_last:
            yield batch.shard, collected
            collected = []


def _rows(shard: Shard, results: Iterable[tuple[Batch, Any]], embedder: Embedder) -> ShardRows:
    images: list[Any] = [None] * len(shard.records)
    captions: list[Any] = [None] * len(shard.captions())
    for batch, of_batch in results:
        into = images if isinstance(batch.rows, range) else captions
        for row, result in zip(batch.rows, of_batch, strict=True):
            into[row] = result
    return shard_rows(shard, images, captions, embedder.encoder.dimension)
