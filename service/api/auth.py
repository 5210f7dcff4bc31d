"""Who sends a request, and what that client may do.

`Admission` runs before every route, so that a route which says nothing still needs the scope search; a route that
needs more says so with `require`. What is open to anybody stands in `OPEN_PATHS`.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from model.errors import AahrError, ConfigError
from service.api.errors import ForbiddenError, InsufficientScope, UnauthorizedError, aahr_error_response
from service.api.rates import RateLimit
from service.api.trust import is_from_this_machine, is_loopback
from service.credentials import ApiKey, KeyScope, digest_of_key
from service.settings import Settings

# The page and the documentation tell nothing of the gallery, and probes have no key.
OPEN_PATHS = frozenset(
    {"/", "/status", "/health/live", "/health/ready", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/favicon.ico"}
)
OPEN_FOLDERS = ("/web/", "/static-offline-docs/")
_BEARER = b"bearer "
_IPV6_CLIENT_BITS = 64
_bearer = HTTPBearer(auto_error=False, description="An API key of AAHR_API_KEYS, or AAHR_ADMIN_TOKEN.")


class Caller(NamedTuple):
    """A client: `name` is that of its key or, without one, its address; requests are counted by it."""

    name: str
    scope: KeyScope
    has_key: bool


class Gate:
    """The keys, and who is let in without one."""

    def __init__(self, keys: Sequence[ApiKey], *, allow_anonymous: bool = False) -> None:
        self._keys = tuple(keys)
        self._admits_anybody = allow_anonymous or not self._keys

    @classmethod
    def of(cls, settings: Settings) -> "Gate":
        """Raises ConfigError for keys that cannot be read, and where other machines could come in without a key."""
        keys = settings.all_api_keys()
        if not (keys or settings.allow_anonymous or settings.host == "localhost" or is_loopback(settings.host)):
            raise ConfigError(
                f"the address {settings.host} can be reached from other machines, and no API key is set; set "
                "AAHR_API_KEYS or AAHR_API_KEYS_FILE, or AAHR_ALLOW_ANONYMOUS=true to let anybody search"
            )
        return cls(keys, allow_anonymous=settings.allow_anonymous)

    def identify(self, scope: Scope) -> Caller:
        """The client of a request to a route that is not open.

        Raises UnauthorizedError for a key that is not known, and for a missing one where it is needed. Where no key is
        set, what the client calls its key is ignored: some clients cannot do without.
        """
        given = _bearer_token(scope) if self._keys else None
        if given is not None:
            return self._holder(given)
        if not self._admits_anybody:
            raise UnauthorizedError("an API key is needed; send it in the header Authorization: Bearer KEY")
        client = scope.get("client")
        return Caller(_counted_address(client[0]) if client else "unknown", KeyScope.SEARCH, has_key=False)

    def grants(self, caller: Caller, needed: KeyScope, scope: Scope) -> None:
        """Returns where the caller may do what is needed.

        Raises InsufficientScope for a key that allows less, UnauthorizedError where a key is missing and
        ForbiddenError where no key is set and the client is not on this machine.
        """
        if caller.scope >= needed:
            return
        if caller.has_key:
            held, wanted = caller.scope.name.lower(), needed.name.lower()
            raise InsufficientScope(f"this needs a key with the scope {wanted}; the key {caller.name} has {held}")
        if self._keys:
            raise UnauthorizedError(
                f"an API key with the scope {needed.name.lower()} is needed; send it in the header "
                "Authorization: Bearer KEY"
            )
        if not is_from_this_machine(HTTPConnection(scope)):
            raise ForbiddenError("without an API key only direct clients on this machine are let in; set AAHR_API_KEYS")

    def _holder(self, token: bytes) -> Caller:
        """Compared with every key in constant time: neither the place nor the beginning of a match shows."""
        digest, holder = digest_of_key(token), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                holder = key
        if holder is None:
            raise UnauthorizedError("the API key is not known; send one of AAHR_API_KEYS as Authorization: Bearer KEY")
        return Caller(holder.name, holder.scope, has_key=True)


class Admission:
    """ASGI middleware that identifies and counts the clients of all routes that are not open."""

    def __init__(self, app: ASGIApp, gate: Gate, rates: RateLimit | None = None) -> None:
        self._app = app
        self._gate = gate
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope["path"]):
            try:
                caller = self._gate.identify(scope)
                state = scope.setdefault("state", {})
                state["gate"], state["caller"] = self._gate, caller
                if self._rates is not None:
                    await self._rates.count(caller.name if caller.has_key else f"address {caller.name}")
            except AahrError as error:
                await aahr_error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_open(path: str) -> bool:
    """Whether anybody may ask for a path, with a key or without."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def admit(scope: Scope, needed: KeyScope) -> Caller:
    """The caller of a request that has passed `Admission`, if it may do what is needed. Raises as `Gate.grants`."""
    state = scope["state"]
    caller: Caller = state["caller"]
    if caller.scope < needed:
        state["gate"].grants(caller, needed, scope)
    return caller


def require(needed: KeyScope) -> Callable[..., Awaitable[Caller]]:
    """A dependency of routes that need a scope; it gives them the caller."""

    async def dependency(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        return admit(request.scope, needed)

    return dependency


def _bearer_token(scope: Scope) -> bytes | None:
    """The first bearer token of a request; another scheme than Bearer counts as a wrong key."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            given: bytes = value
            return given[len(_BEARER) :].strip() if given[: len(_BEARER)].lower() == _BEARER else b""
    return None


@lru_cache(maxsize=4096)
def _counted_address(host: str) -> str:
    """What requests without a key are counted by: a client owns a whole /64 of IPv6, not only one address."""
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), _IPV6_CLIENT_BITS), strict=False))
