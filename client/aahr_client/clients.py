"""The two clients: they differ in how a call is sent, and in nothing else."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from tenacity import AsyncRetrying, Retrying

from aahr_client import calls
from aahr_client.calls import Call
from aahr_client.models import BatchItem, Item, SearchAnswer, StoredItem, Swap
from aahr_client.sending import checked, headers_of, policy

T = TypeVar("T")
Target = Literal["image", "text"]
TIMEOUT_S = 30.0


class Client:
    """A service at a URL; safe to use from many threads at once.

    Raises httpx.TransportError where the service cannot be reached, and AahrError for what it refuses.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retries = retries
        self._http = httpx.Client(base_url=url, headers=headers_of(api_key), timeout=timeout_s, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def search(
        self,
        *,
        text: str | None = None,
        image: bytes | None = None,
        image_url: str | None = None,
        id: str | None = None,
        embedding: Sequence[float] | None = None,
        mix: Sequence[Mapping[str, Any]] | None = None,
        target: Target | None = None,
        limit: int | None = None,
        offset: int | None = None,
        score_threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,
        unique: float | None = None,
        normalise: bool | None = None,
        with_payload: bool | None = None,
    ) -> SearchAnswer:
        """Search with exactly one of the first six; what is left out is as the service has it."""
        fields = {name: value for name, value in locals().items() if name != "self"}
        return self._send(calls.search(fields))

    def search_batch(self, searches: Sequence[Mapping[str, Any]]) -> list[BatchItem]:
        """Many searches in one request, each with the fields of `search`."""
        return self._send(calls.search_batch(searches))

    def embed(self, inputs: Sequence[str | bytes]) -> list[list[float]]:
        """Embeddings of texts and of image files."""
        return self._send(calls.embed(inputs))

    def item(self, id: str) -> Item:
        """An item of the gallery."""
        return self._send(calls.item(id))

    def image(self, id: str) -> bytes:
        """The image file of an item."""
        return self._send(calls.image(id))

    def add_item(
        self,
        image: bytes,
        *,
        id: str | None = None,
        captions: Sequence[str] = (),
        payload: Mapping[str, Any] | None = None,
    ) -> StoredItem:
        """Put an image into the gallery, in place of the one that has its id; it is searched at once."""
        return self._send(calls.add_item(image, id, captions, payload))

    def delete_item(self, id: str) -> None:
        """Take an item out of the gallery; the captions of an image go with it."""
        self._send(calls.delete_item(id))

    def info(self) -> dict[str, Any]:
        """What is served, and its limits."""
        return self._send(calls.info())

    def reload(self) -> Swap:
        """Serve the version that was published last."""
        return self._send(calls.reload())

    def rollback(self, version: str | None = None) -> Swap:
        """Publish and serve an earlier version, by default the one before."""
        return self._send(calls.rollback(version))

    def _send(self, call: Call[T]) -> T:
        def once() -> T:
            return call.read(checked(self._http.request(call.method, call.path, json=call.json, files=call.files)))

        return Retrying(**policy(self._retries, call))(once)


class AsyncClient:
    """As `Client`, with coroutines."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = retries
        headers = headers_of(api_key)
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_s, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def search(
        self,
        *,
        text: str | None = None,
        image: bytes | None = None,
        image_url: str | None = None,
        id: str | None = None,
        embedding: Sequence[float] | None = None,
        mix: Sequence[Mapping[str, Any]] | None = None,
        target: Target | None = None,
        limit: int | None = None,
        offset: int | None = None,
        score_threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,
        unique: float | None = None,
        normalise: bool | None = None,
        with_payload: bool | None = None,
    ) -> SearchAnswer:
        """See `Client.search`."""
        fields = {name: value for name, value in locals().items() if name != "self"}
        return await self._send(calls.search(fields))

    async def search_batch(self, searches: Sequence[Mapping[str, Any]]) -> list[BatchItem]:
        """See `Client.search_batch`."""
        return await self._send(calls.search_batch(searches))

    async def embed(self, inputs: Sequence[str | bytes]) -> list[list[float]]:
        """See `Client.embed`."""
        return await self._send(calls.embed(inputs))

    async def item(self, id: str) -> Item:
        """See `Client.item`."""
        return await self._send(calls.item(id))

    async def image(self, id: str) -> bytes:
        """See `Client.image`."""
        return await self._send(calls.image(id))

    async def add_item(
        self,
        image: bytes,
        *,
        id: str | None = None,
        captions: Sequence[str] = (),
        payload: Mapping[str, Any] | None = None,
    ) -> StoredItem:
        """See `Client.add_item`."""
        return await self._send(calls.add_item(image, id, captions, payload))

    async def delete_item(self, id: str) -> None:
        """See `Client.delete_item`."""
        await self._send(calls.delete_item(id))

    async def info(self) -> dict[str, Any]:
        """See `Client.info`."""
        return await self._send(calls.info())

    async def reload(self) -> Swap:
        """See `Client.reload`."""
        return await self._send(calls.reload())

    async def rollback(self, version: str | None = None) -> Swap:
        """See `Client.rollback`."""
        return await self._send(calls.rollback(version))

    async def _send(self, call: Call[T]) -> T:
        async def once() -> T:
            sent = self._http.request(call.method, call.path, json=call.json, files=call.files)
            return call.read(checked(await sent))

        return await AsyncRetrying(**policy(self._retries, call))(once)
