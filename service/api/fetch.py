"""Images from URLs, without letting a request reach what only this machine can reach.

A client that names a URL makes the service connect to it. So the address is checked and not the name: every address
that the name resolves to must be public, the connection goes to the very address that was checked, whatever the name
resolves to by then, and each redirect is checked like a URL of its own.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol

import httpx

from service.api.addresses import is_public
from service.api.errors import UrlFetchingDisabled, UrlNotAllowed, UrlNotAnImage, UrlTooLarge, UrlUnreachable
from service.settings import Settings

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

TOTAL_S = 5.0
MAX_REDIRECTS = 3
MAX_URL_CHARACTERS = 2048
_AT_ONCE = 16
_MAX_ADDRESSES = 3
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Identity: a small body must not unfold into a large one.
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "aahr"}
# One message for every reason, so that it cannot tell whether a host of a private network exists.
_UNREACHABLE = "no image could be fetched from the URL: it must lead to a public server that answers in time"


class Fetcher(Protocol):
    """Where the images of URLs come from."""

    async def fetch(self, url: str) -> bytes: ...

    async def close(self) -> None: ...


class NoFetching:
    """What is used unless the settings allow fetching."""

    async def fetch(self, _url: str) -> bytes:
        """Raises UrlFetchingDisabled."""
        raise UrlFetchingDisabled(
            "the service fetches no images from URLs; send the image itself, or set AAHR_FETCH_URLS=true"
        )

    async def close(self) -> None:
        """Nothing is open."""


class ImageFetcher:
    """Fetches images from public servers, with limits on time, size, redirects and ports."""

    def __init__(
        self,
        max_bytes: int,
        ports: Collection[int] = (80, 443),
        *,
        total_s: float = TOTAL_S,
        resolve: Resolve | None = None,
        is_allowed: Callable[[str], bool] = is_public,
    ) -> None:
        """`resolve` and `is_allowed` are the internet: which addresses a name has, and which ones may be asked."""
        self._max_bytes = max_bytes
        self._ports = frozenset(ports)
        self._total_s = total_s
        self._free = asyncio.Semaphore(_AT_ONCE)
        transport = PinnedTransport(resolve or resolve_name, is_allowed)
        self._client = httpx.AsyncClient(
            transport=transport,
            headers=_HEADERS,
            # None are kept: a server must not recognise the service by what it stored for another client's request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
            timeout=total_s,
        )

    async def fetch(self, url: str) -> bytes:
        """The bytes of an image file.

        Raises UrlNotAllowed, UrlUnreachable, UrlNotAnImage and UrlTooLarge.
        """
        target = self._parse(url)
        try:
            async with asyncio.timeout(self._total_s), self._free:
                return await self._follow(target)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise UrlUnreachable(_UNREACHABLE) from error

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._client.stream("GET", url) as response:
                if response.status_code not in _REDIRECTS:
                    return await self._read(response)
                location = response.headers.get("location", "")
            url = self._parse(str(url.join(location)))
        raise UrlUnreachable(_UNREACHABLE)

    async def _read(self, response: httpx.Response) -> bytes:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if response.status_code != httpx.codes.OK or not kind.startswith("image/") or encoding != "identity":
            raise UrlNotAnImage("the URL does not lead to an image: its server must answer 200 with the type image/…")
        announced = response.headers.get("content-length", "")
        content = bytearray()
        self._check_size(int(announced) if announced.isdecimal() else 0)
        async for chunk in response.aiter_raw():
            content += chunk
            self._check_size(len(content))
        return bytes(content)

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise UrlTooLarge(f"the image at the URL has more than {self._max_bytes:,} bytes; name a smaller one")

    def _parse(self, text: str) -> httpx.URL:
        """The one reading of a URL, by which it is checked and connected to: two parsers could disagree."""
        if len(text) > MAX_URL_CHARACTERS or any(
            not "!" <= character <= "~" or character == "\\" for character in text
        ):
            raise UrlNotAllowed(
                f"a URL has at most {MAX_URL_CHARACTERS} visible ASCII characters and no backslash; encode others"
            )
        try:
            url = httpx.URL(text)
            port = _port(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise UrlNotAllowed("this is not a URL; write it as https://host/path") from error
        if url.scheme not in _DEFAULT_PORTS or not url.host:
            raise UrlNotAllowed("a URL of an image begins with http:// or https:// and names a host")
        if "@" in re.split("[/?#]", text.partition("//")[2], maxsplit=1)[0]:
            raise UrlNotAllowed("a URL of an image must not hold a user name or a password")
        if port not in self._ports:
            raise UrlNotAllowed(f"images are fetched from the ports {', '.join(map(str, sorted(self._ports)))} only")
        return url


class PinnedTransport(httpx.AsyncBaseTransport):
    """Resolves the name of each request once, checks every address, and connects to an address and not to a name."""

    def __init__(self, resolve: Resolve, is_allowed: Callable[[str], bool]) -> None:
        self._resolve = resolve
        self._is_allowed = is_allowed
        # Nothing is kept alive: a connection belongs to the name for which its certificate was checked.
        limits = httpx.Limits(max_connections=_AT_ONCE * 2, max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(trust_env=False, limits=limits, retries=0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.ConnectError where the name has no address, or any that is not allowed."""
        host = _ascii_host(request.url)
        addresses = list(dict.fromkeys(await self._resolve(host, _port(request.url))))
        if not addresses or not all(self._is_allowed(address) for address in addresses):
            raise httpx.ConnectError("the host has an address that is not allowed, or none", request=request)
        failure: httpx.ConnectError | None = None
        for address in addresses[:_MAX_ADDRESSES]:
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except httpx.ConnectError as error:
                failure = error
        assert failure is not None
        raise failure

    async def aclose(self) -> None:
        await self._inner.aclose()


async def resolve_name(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the machine resolves it; numbers in any spelling are names of themselves."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def make_fetcher(settings: Settings) -> Fetcher:
    """What the settings allow."""
    if not settings.fetch_urls:
        return NoFetching()
    return ImageFetcher(settings.max_body_bytes, settings.fetch_ports)


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """The request to an address, for the name: the header Host stays, and the certificate must be that of the name."""
    extensions = {**request.extensions, "sni_hostname": _ascii_host(request.url)}
    url = request.url.copy_with(host=address)
    return httpx.Request(request.method, url, headers=request.headers, extensions=extensions)


def _port(url: httpx.URL) -> int:
    return _DEFAULT_PORTS.get(url.scheme, 0) if url.port is None else url.port


def _ascii_host(url: httpx.URL) -> str:
    """The host as it goes over the wire; `url.host` would show an international name in its own script."""
    return url.raw_host.decode("ascii")
