"""Descriptions of images that come with requests, for a model that fuses them: within a budget, or none at all."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import NamedTuple, Protocol

from PIL import Image

from index.embedding.describing import view_of
from model.descriptions import Describer, Rejected, Subject
from model.errors import AahrError
from service.core.budget import Workers
from service.obs.timing import Stopwatch

# Requests to a server wait, they do not compute: not on the threads that encode and search.
_ASKED_AT_ONCE = 32
_NAME = "query"

log = logging.getLogger(__name__)


class Described(NamedTuple):
    """A description, or why there is none; `answered` is False where the describer is at fault, not the image."""

    text: str | None
    reason: str | None = None
    answered: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What the sender of the image is told."""
        if self.reason is None:
            return ()
        return (f"the image was not described, so that only what it looks like was searched with: {self.reason}",)


class Describing(Protocol):
    """Describes the image of a request; never fails."""

    @property
    def at_least(self) -> int:
        """How large, in pixels of either side, an image has to be decoded."""

    async def describe(self, image: Image.Image, watch: Stopwatch) -> Described:
        """The description of an image."""

    def close(self) -> None:
        """End what is under way; nobody waits for it any more."""


class Breaker(Protocol):
    """Whether a server that failed is asked again; see `service.cache.breaker`."""

    def allows(self) -> bool: ...

    def succeeded(self) -> None: ...

    def failed(self) -> None: ...


class Undescribed:
    """A model that fuses descriptions, without a describer."""

    at_least = 1

    async def describe(self, image: Image.Image, watch: Stopwatch) -> Described:  # noqa: ARG002
        return Described(None, "the model came without its describer")

    def close(self) -> None:
        """Nothing to end."""


class LocalDescribing:
    """A describer that came with the model: milliseconds, on the threads of the budget."""

    def __init__(self, describer: Describer, workers: Workers) -> None:
        self._describer = describer
        self._workers = workers

    @property
    def at_least(self) -> int:
        return self._describer.at_least

    async def describe(self, image: Image.Image, watch: Stopwatch) -> Described:
        def work() -> Described:
            with watch.measure("describe"):
                # As the gallery was described: equal images get equal words.
                return _described(self._describer, view_of(image, self._describer))

        return await self._workers.run(work, watch)

    def close(self) -> None:
        """Nothing to end."""


class RemoteDescribing:
    """A describer that asks a server: no longer than `timeout_s`, and not while its breaker is open."""

    def __init__(
        self, describer: Describer, breaker: Breaker, *, timeout_s: float, close: Callable[[], None] = lambda: None
    ) -> None:
        """`close` ends the connections of the describer."""
        self._describer, self._breaker, self._timeout_s, self._close = describer, breaker, timeout_s, close
        self._threads = ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="describe")

    @property
    def at_least(self) -> int:
        return self._describer.at_least

    async def describe(self, image: Image.Image, watch: Stopwatch) -> Described:
        if not self._breaker.allows():
            return Described(None, "the describer failed a moment ago", answered=False)
        loop = asyncio.get_running_loop()
        run = copy_context().run
        with watch.measure("describe"):
            try:
                async with asyncio.timeout(self._timeout_s):
                    found = await loop.run_in_executor(self._threads, run, _described, self._describer, image)
            except TimeoutError:
                found = Described(None, f"the describer did not answer within {self._timeout_s:g} s", answered=False)
        (self._breaker.succeeded if found.answered else self._breaker.failed)()
        return found

    def close(self) -> None:
        """Close the connections; what is being asked ends with them."""
        self._close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _described(describer: Describer, image: Image.Image) -> Described:
    try:
        (found,) = describer.describe([Subject(_NAME, image)])
    except AahrError as error:
        log.warning("an image could not be described: %s", error.with_detail)
    except Exception:
        log.exception("an image could not be described")
    else:
        return Described(None, *found) if isinstance(found, Rejected) else Described(found)
    return Described(None, "the describer failed", answered=False)
