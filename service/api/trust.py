"""Which requests are refused before any route sees them, and which ones come from this machine.

Any web page can make its visitors' browsers send requests here, even to a service that listens on loopback only. Two
checks keep such pages out:

- A page whose own host name resolves to this machine (DNS rebinding) could read every answer, so only known host names
  are served.
- Any other page cannot read answers, but could still trigger actions, so everything except GET, HEAD and OPTIONS is
  refused from another origin. That includes POST /search, although it changes nothing: browsers send a form without a
  preflight request, and a page could keep this machine busy with decoding and encoding. No legitimate page loses
  anything, because the service never lets another origin read its answers.
"""

import re
import socket
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from model.errors import AahrError
from service.api.errors import CrossOriginError, UntrustedHost, aahr_error_response
from service.settings import Settings

ANY_HOST = "*"
_HOST_HEADER = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d*)?", re.ASCII | re.IGNORECASE)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class HostNames:
    """The names under which the service may be addressed.

    These are always the names of loopback, the address listened on, and the hosts in the settings. A service that
    listens on every address also answers to any IP address and to the host name of the machine. IP addresses are safe:
    DNS rebinding needs a name.
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
    """ASGI middleware that refuses requests for unknown hosts (400) and from other origins (403)."""

    def __init__(self, app: ASGIApp, names: HostNames, origins: frozenset[str] = frozenset()) -> None:
        """`origins` are other origins whose pages may do what our own page may."""
        self._app = app
        self._names = names
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope["method"], Headers(scope=scope))
            except AahrError as error:
                await aahr_error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, method: str, headers: Headers) -> None:
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ", ".join(hosts)  # of two, a proxy may have looked at the other one
        name = host_name(host)
        if name is None or not self._names.include(name):
            raise UntrustedHost(f"the host {host!r:.80} is not served; add it to AAHR_ALLOWED_HOSTS if it should be")
        if method not in _SAFE_METHODS and not self._is_own_origin(headers, host):
            raise CrossOriginError(
                f"{method} from another origin is refused; add it to AAHR_ALLOWED_ORIGINS if it is trusted"
            )

    def _is_own_origin(self, headers: Headers, host: str) -> bool:
        """Judged by what browsers add; a client that adds nothing, such as curl, is not driven by a web page."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if site in ("same-origin", "none") or (site is None and origin is None):
            return True
        if origin in self._origins:
            return True
        # The scheme is not compared: behind a proxy that terminates TLS, it differs from the one in the browser.
        origin_host = (origin or "").partition("://")[2].lower()
        if not origin_host:
            return False
        return (site is None and origin_host == host.lower()) or host_name(origin_host) in self._names.named


def host_name(host: str) -> str | None:
    """The name or address in a Host header, in lower case and without port and brackets; None if it is malformed."""
    found = _HOST_HEADER.fullmatch(host)
    return found[1].strip("[]").lower() if found else None


def is_loopback(name: str) -> bool:
    """Whether an IP address is one of loopback; a name is not, whatever it resolves to."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_from_this_machine(connection: HTTPConnection) -> bool:
    """Whether the client and the host it addresses are loopback, and no proxy has forwarded the request.

    A proxy on this machine may leave no trace in the headers; behind one, only a token is safe.
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
