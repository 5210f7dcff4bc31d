"""What every answer tells browsers: to guess no type, frame nothing, load nothing, and keep no answer to a POST."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

RawHeaders = list[tuple[bytes, bytes]]

_ALWAYS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
# Swagger UI starts itself with a script in the page and styles in attributes. Nothing of a request stands in that page.
_DOCUMENTATION = {
    b"content-security-policy": b"default-src 'none'; script-src 'self' 'unsafe-inline'; "
    b"style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'none'; "
    b"base-uri 'none'; frame-ancestors 'none'"
}
_RESOURCE_POLICY = b"cross-origin-resource-policy"
_NOT_KEPT = {b"cache-control": b"no-store"}


class SecurityHeaders:
    """ASGI middleware that adds the headers which a route has not set itself."""

    def __init__(self, app: ASGIApp, *, shares_with_origins: bool = False) -> None:
        """`shares_with_origins`: whether pages of other origins are allowed to use answers at all."""
        self._app = app
        always = default_headers(shares_with_origins=shares_with_origins)
        self._of_get, self._of_post = _pairs(always), _pairs({**always, **_NOT_KEPT})
        self._of_documentation = _pairs({**always, **_DOCUMENTATION})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = self._for(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: RawHeaders = message["headers"]
                present = {name for name, _ in headers}
                message["headers"] = [*headers, *(pair for pair in added if pair[0] not in present)]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _for(self, scope: Scope) -> RawHeaders:
        if scope["method"] not in ("GET", "HEAD"):
            return self._of_post
        return self._of_documentation if scope["path"].startswith("/docs") else self._of_get


def default_headers(*, shares_with_origins: bool = False) -> dict[bytes, bytes]:
    """The headers of every answer, by their names in lower case."""
    return {**_ALWAYS, _RESOURCE_POLICY: b"cross-origin" if shares_with_origins else b"same-origin"}


def _pairs(headers: dict[bytes, bytes]) -> RawHeaders:
    items: Iterable[tuple[bytes, bytes]] = headers.items()
    return list(items)
