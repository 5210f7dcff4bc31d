"""Which generation serves: swapped between requests, rolled back, and followed when another process publishes one."""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from index.manifest import VersionInfo
from index.rebuild_progress import RebuildProgress
from model.errors import AahrError
from service.core.errors import NotReadyError
from service.core.generation import Generation, Loader
from service.obs.observers import GenerationObserver

log = logging.getLogger(__name__)


class Swap(NamedTuple):
    """The generation that served before, and the one that serves now; they are the same where nothing was new."""

    old: Generation
    new: Generation


class Generations:
    """The generation that serves, and how another one takes its place. Every method belongs to the event loop.

    A new generation is loaded and checked in a thread of its own. The swap itself is one assignment: requests that hold
    the old generation finish with it, and it is closed in a thread when the last of them has ended.
    """

    def __init__(self, loader: Loader, first: Generation, observer: GenerationObserver | None = None) -> None:
        self._loader = loader
        self._current = first
        self._observer = observer
        self._changing = asyncio.Lock()
        self._closing: set[asyncio.Future[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._refused: str | None = None
        self._tell()

    @property
    def current(self) -> Generation:
        """What serves now; a request enters it as a context, so that it stays open until the request has ended."""
        return self._current

    @property
    def location(self) -> str:
        """Where the index is, for the log; never with credentials."""
        return self._loader.store.location

    @property
    def refused(self) -> str | None:
        """Why the version that is published does not serve; None where it does."""
        return self._refused

    async def check_ready(self) -> None:
        """Raises NotReadyError where an encoder failed and fails again when it is tried."""
        encoder = self._current.encoder
        if encoder.failure is not None:
            await asyncio.to_thread(encoder.warm_up)
        if encoder.failure is not None:
            raise NotReadyError(encoder.failure)

    async def reload(self) -> Swap:
        """Serve the published version. Raises ArtifactError where it cannot be used; the old one serves on."""
        async with self._changing:
            return await self._swap()

    async def rollback(self, to: str | None = None) -> Swap:
        """Publish an earlier version again, by default the one before, and serve it.

        Raises ArtifactMissing where there is none, and ArtifactError where another process is changing the index.
        """
        return await self.change(lambda: self._loader.store.rollback(to))

    async def published(self) -> tuple[list[VersionInfo], RebuildProgress | None]:
        """The versions that can be served, the oldest first, and how far the next one is where it is being made."""
        store = self._loader.store
        return await asyncio.to_thread(lambda: (store.versions(), store.rebuilding()))

    async def change(self, change: Callable[[], object]) -> Swap:
        """Run a change of the store in a thread, then serve what it published; raises what it raises."""
        async with self._changing:
            await asyncio.to_thread(change)
            return await self._swap()

    def watch(self, every_s: float) -> None:
        """Look every so many seconds whether another version is published, and serve it. Until `close`."""
        self._watching = asyncio.get_running_loop().create_task(self._watch(every_s))

    async def close(self) -> None:
        """Stop watching, wait for what is being closed, then close what serves."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await asyncio.gather(*self._closing)
        await asyncio.to_thread(self._current.close)

    async def _swap(self) -> Swap:
        old = self._current
        try:
            new = await asyncio.to_thread(self._loader.load, old)
        except AahrError as error:
            self._refused = error.code
            if self._observer is not None:
                self._observer.count_refusal()
            log.warning("the published version is refused, %s serves on: %s", old.collection.version, error.with_detail)
            raise
        self._current, self._refused = new, None
        if self._observer is not None:
            self._observer.count_swap()
        self._tell()
        old.retire(lambda: self._close_aside(old))
        return Swap(old, new)

    def _tell(self) -> None:
        if self._observer is not None:
            self._observer.serve_generation(self._current.collection.version, self._current.encoder.runtime.model_id)

    def _close_aside(self, generation: Generation) -> None:
        closing = asyncio.ensure_future(asyncio.to_thread(generation.close))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _watch(self, every_s: float) -> None:
        refused: str | None = None
        while True:
            await asyncio.sleep(every_s)
            published = None
            try:
                published = await asyncio.to_thread(self._loader.store.current)
                # A version that was refused is not tried again until another one is published.
                if published not in (refused, self._current.collection.version):
                    await self.reload()
                    log.info("version %s is served", self._current.collection.version)
            except AahrError:
                refused = published  # reported where it was raised
            except Exception:
                log.exception("the index could not be looked at; it is tried again")
