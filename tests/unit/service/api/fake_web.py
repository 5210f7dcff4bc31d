"""An internet of two addresses: 127.0.0.2 is public, and 127.0.0.1 is what only this machine may reach."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from model.errors import AahrError
from service.api.fetch import ImageFetcher

PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"
IMAGE = b"\x89PNG and the rest"
Answer = Callable[[str], bytes | None]


def ok(body: bytes = IMAGE, kind: str = "image/png", *more: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


class Web:
    """A server on both addresses, on one port; `asked` holds the heads of all requests, by address."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: dict[str, list[str]] = {PUBLIC: [], PRIVATE: []}
        self.names: dict[str, list[list[str]]] = {}
        self.answer: Answer = lambda _: ok()

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        """The addresses of a name; the next ones with every question, and the last ones for ever."""
        answers = self.names.get(host, [[host]])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def serve(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked[address].append(head)
            answer = self.answer(head)
            if answer is None:
                await asyncio.sleep(10)
            writer.write(answer or b"")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    web = Web()

    def at(address: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        return lambda reader, writer: web.serve(address, reader, writer)

    public = await asyncio.start_server(at(PUBLIC), PUBLIC, 0)
    web.port = public.sockets[0].getsockname()[1]
    private = await asyncio.start_server(at(PRIVATE), PRIVATE, web.port)
    try:
        yield web
    finally:
        public.close()
        private.close()


def fetch_from(
    url: str,
    answer: Answer = lambda _: ok(),
    names: dict[str, list[list[str]]] | None = None,
    **limits: Any,
) -> tuple[bytes | AahrError, Web]:
    """What fetching a URL gives, and the web afterwards; PORT in the URL is that of the servers."""

    async def scenario() -> tuple[bytes | AahrError, Web]:
        async with web() as internet:
            internet.names = {"site.example": [[PUBLIC]], **(names or {})}
            internet.answer = lambda head: (given := answer(head)) and given.replace(b"PORT", b"%d" % internet.port)
            fetcher = ImageFetcher(
                limits.pop("max_bytes", 1000),
                (internet.port, 80, 443),
                resolve=internet.resolve,
                is_allowed=lambda address: address == PUBLIC,
                **limits,
            )
            try:
                return await fetcher.fetch(url.replace("PORT", str(internet.port))), internet
            except AahrError as error:
                return error, internet
            finally:
                await fetcher.close()

    return asyncio.run(scenario())
