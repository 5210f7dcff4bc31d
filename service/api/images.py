"""The images of a request: fetched where it names URLs, and of a format that is allowed."""

import asyncio
from collections.abc import Collection
from typing import TypeVar

from service.api.body import ParsedRequest
from service.api.fetch import Fetcher
from service.api.formats import check_format
from service.api.schemas import SearchRequest, Sources

Given = TypeVar("Given", bound=Sources)


class Images:
    """Admits the images of requests."""

    def __init__(self, fetcher: Fetcher, formats: Collection[str]) -> None:
        self._fetcher = fetcher
        self._formats = formats

    async def admitted(self, parsed: ParsedRequest) -> ParsedRequest:
        """The request with images in place of their URLs, and with the digest of those: what a URL leads to may change.

        Raises UnreadableImage for a format that is not allowed, and what the fetcher raises.
        """
        request = parsed.request
        parts = request.mix or ()
        if request.image_url is None and all(part.image_url is None for part in parts):
            self._check(request)
            return parsed
        whole = await self._complete(request)
        mix = None if request.mix is None else await asyncio.gather(*(self._complete(part) for part in parts))
        completed: SearchRequest = whole.model_copy(update={"mix": mix})
        self._check(completed)
        return ParsedRequest.of(completed)

    async def close(self) -> None:
        """Close what is open."""
        await self._fetcher.close()

    async def _complete(self, given: Given) -> Given:
        if given.image_url is None:
            return given
        content = await self._fetcher.fetch(given.image_url)
        return given.model_copy(update={"image": content, "image_url": None})

    def _check(self, request: SearchRequest) -> None:
        for given in (request, *(request.mix or ())):
            if given.image is not None:
                check_format(given.image, self._formats)
