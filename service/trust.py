"""Which requests are refused before any route sees them, and which come from this machine.

A web page may make the browser of anybody who reads it send requests here, to a service that only listens on loopback
too. Two checks keep it out:

- Under the name of its own that leads here (DNS rebinding) a page could read every answer: only known hosts are served.
- Under a name of ours it can read nothing, but it could make the service act. Whatever is no plain read is refused from
  another origin. That includes POST /search, which changes nothing: as a form a browser sends it without asking first,
  and a page could have this machine decode and encode as much as it likes. No page loses anything by this, because the
  service never lets another origin read its answers.
"""

import re
import socket
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from model.errors import AahrError
from service.errors import CrossOriginError, UntrustedHost, aahr_error_response
from service.settings import Settings

ANY_HOST = "*"
_HOST_HEADER = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d*)?", re.ASCII | re.IGNORECASE)
_PLAIN_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class HostNames:
    """The names under which the service may be addressed.

    Always those of loopback and the address that is listened on. Where that is every address of the machine, any IP
    address and the machine's own name as well: a page cannot come from an IP address that is not its server's.
    """

    def __init__(self, settings: Settings) -> None:
        self.named = frozenset(settings.allowed_hosts)
        self._names = self.named | {"localhost", settings.host.lower()}
        self._listens_everywhere = _is_unspecified(settings.host)
        if self._listens_everywhere:
            self._names |= {socket.gethostname().lower()}

    def include(self, name: str) -> bool:
        """Whether a host, in lower case and without its port, is one of them."""
        if ANY_HOST in self.named or name in self._names or is_loopback(name):
            return True
        return self._listens_everywhere and _is_address(name)


class TrustedRequests:
    """ASGI middleware that answers requests for foreign hosts and from foreign origins itself: 400 and 403."""

    def __init__(self, app: ASGIApp, names: HostNames) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope["method"], Headers(scope=scope))
            except AahrError as error:
                await aahr_error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        name = host_name(host)
        if name is None or not self._names.include(name):
            raise UntrustedHost(
                f"the host {host!r:.80} is not served; name it in AAHR_ALLOWED_HOSTS if it is meant to be"
            )
        if method not in _PLAIN_READS and not self._is_own_origin(headers, host):
            raise CrossOriginError(
                f"{method} from another origin is refused; name its host in AAHR_ALLOWED_HOSTS if it is meant to be"
            )

    def _is_own_origin(self, headers: Headers, host: str) -> bool:
        """What browsers say of the sender; whoever says nothing, such as curl, is not steered by a foreign page."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if site in ("same-origin", "none") or (site is None and origin is None):
            return True
        # The scheme is left out: behind a proxy that ends TLS, it is not the one that the browser sees.
        origin_host = (origin or "").partition("://")[2].lower()
        if not origin_host:
            return False
        return (site is None and origin_host == host.lower()) or host_name(origin_host) in self._names.named


def host_name(host: str) -> str | None:
    """The name or address in a Host header, in lower case and without port and brackets; None where it is not one."""
    found = _HOST_HEADER.fullmatch(host)
    return found[1].strip("[]").lower() if found else None


def is_loopback(name: str) -> bool:
    """Whether an IP address is one of loopback; a name is not, whatever it leads to."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_from_this_machine(connection: HTTPConnection) -> bool:
    """Whether client and addressed host are loopback and no proxy says that it passes something on.

    A proxy on this machine may leave every trace out: behind one, only a token tells its clients from our own.
    """
    if any(name in connection.headers for name in _FORWARDED):
        return False
    name = host_name(connection.headers.get("host", "")) or ""
    addressed_here = name == "localhost" or is_loopback(name)
    return addressed_here and connection.client is not None and is_loopback(connection.client.host)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_unspecified(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_unspecified
