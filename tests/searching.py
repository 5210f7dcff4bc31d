"""Searches without HTTP: what a service does with a request, from an index directory to the results."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.collection import Collection
from index.collection.open import open_store
from service.api.queries import to_query
from service.api.rendering import rendered
from service.api.schemas import SearchRequest, SearchResult
from service.core.batching import BatchLimits
from service.core.budget import Workers
from service.core.generation import Generation, Loader
from service.core.searcher import Searcher
from service.obs.timing import Stopwatch


class Opened:
    """A generation, and searches in it."""

    def __init__(self, loader: Loader, generation: Generation) -> None:
        self.loader = loader
        self.generation = generation

    @property
    def collection(self) -> Collection:
        """The version of the index."""
        return self.generation.collection

    def search(self, **fields: object) -> SearchResult:
        """The results of a request with these fields."""
        request = SearchRequest.model_validate(fields)
        searching = Searcher(self.loader.workers).search(self.generation, to_query(request), Stopwatch())
        return SearchResult.model_validate_json(rendered(request, asyncio.run(searching)))


def make_loader(index: Path, model: Path | None = None, *, threads: int = 2) -> Loader:
    """A loader of the published version of an index; its workers are to be closed."""
    return Loader(open_store(index), Workers(threads), BatchLimits(), model_directory=model)


@contextmanager
def opened(index: Path, model: Path | None = None) -> Iterator[Opened]:
    """The published version with its model."""
    loader = make_loader(index, model)
    try:
        generation = loader.load()
        yield Opened(loader, generation)
        generation.close()
    finally:
        loader.workers.close()
