"""Images of requests: fetched by URL where that is allowed, and refused by format."""

import asyncio
from typing import Any

import pytest
from starlette.testclient import TestClient

from model.errors import UnreadableImage
from service.api.body import ParsedRequest
from service.api.images import Images
from service.api.schemas import SearchRequest
from tests.galleries import BuiltGallery, image_bytes
from tests.unit.service.conftest import make_app, open_client


class Web:
    """URLs that lead to images; what they lead to may be changed."""

    def __init__(self, **images: bytes) -> None:
        self.images = images

    async def fetch(self, url: str) -> bytes:
        return self.images[url]

    async def close(self) -> None:
        pass


def admitted(web: Web, formats: frozenset[str] = frozenset({"PNG"}), **fields: Any) -> ParsedRequest:
    parsed = ParsedRequest.of(SearchRequest.model_validate(fields))
    return asyncio.run(Images(web, formats).admitted(parsed))


def test_a_url_is_replaced_by_what_it_leads_to_now() -> None:
    web = Web(a=image_bytes("red", "PNG"))
    first = admitted(web, image_url="a")
    assert (first.request.image, first.request.image_url, first.request.type) == (web.images["a"], None, "image")
    web.images["a"] = image_bytes("blue", "PNG")
    assert admitted(web, image_url="a").digest != first.digest


def test_urls_in_a_mix_are_replaced_too() -> None:
    web = Web(a=image_bytes("red", "PNG"))
    mix = admitted(web, mix=[{"image_url": "a", "weight": 2}, {"text": "red"}]).request.mix
    assert mix is not None
    assert [(part.image, part.text, part.weight) for part in mix] == [(web.images["a"], None, 2), (None, "red", 1)]


def test_a_format_that_is_not_allowed_is_refused_wherever_it_comes_from() -> None:
    gif = image_bytes("red", "GIF")
    for fields in ({"image": gif}, {"image_url": "a"}, {"mix": [{"text": "red"}, {"image": gif}]}):
        with pytest.raises(UnreadableImage, match="GIF are not read here"):
            admitted(Web(a=gif), **fields)


def test_settings_name_the_formats(gallery: BuiltGallery) -> None:
    with open_client(make_app(gallery.index, image_formats="png")) as client:
        assert client.post("/search", files={"image": image_bytes("red", "PNG")}).status_code == 200
        refused = client.post("/search", files={"image": image_bytes("red", "GIF")})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unreadable_image")


@pytest.mark.parametrize("fields", [{"image_url": "http://a.example/"}, {"mix": [{"image_url": "http://a.example/"}]}])
def test_without_the_setting_nothing_is_fetched(client: TestClient, fields: dict[str, Any]) -> None:
    refused = client.post("/search", json=fields)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "url_fetching_disabled")
