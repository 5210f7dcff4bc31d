"""GET / and GET /status: the page, and the files of the folder service/web that it needs."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Response

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}


@router.get("/")
async def page() -> Response:
    """The page, which searches."""
    return _response("index.html", "text/html")


@router.get("/status")
async def status() -> Response:
    """The same page, which then shows how the service fares."""
    return _response("index.html", "text/html")


@router.get("/web/{name}")
async def file(name: str) -> Response:
    """A script or a style sheet of the page."""
    if name not in _served():
        raise HTTPException(404)
    return _response(name, _MEDIA_TYPES[name[name.rindex(".") :]])


def _response(name: str, media_type: str) -> Response:
    return Response(_served()[name], media_type=media_type, headers=_HEADERS)


@cache
def _served() -> dict[str, bytes]:
    """All files by their names: what is not in the folder cannot be asked for."""
    return {path.name: path.read_bytes() for path in files("service").joinpath("web").iterdir() if path.is_file()}
