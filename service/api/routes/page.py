"""GET /: a plain search form, and the two files it needs."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/")
async def page() -> Response:
    """The search form."""
    return _file("index.html", "text/html")


@router.get("/web/search.js")
async def script() -> Response:
    """The script of the form."""
    return _file("search.js", "text/javascript")


@router.get("/web/search.css")
async def style() -> Response:
    """The style sheet of the form."""
    return _file("search.css", "text/css")


def _file(name: str, media_type: str) -> Response:
    return Response(_content(name), media_type=media_type, headers=_HEADERS)


@cache
def _content(name: str) -> bytes:
    return files("service").joinpath("web", name).read_bytes()
