"""The client against a real service: everything that it can do."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aahr_client import AsyncClient, Client, NotFound, Unauthorized

from tests.galleries import build_gallery, image_bytes
from tests.servers import served

KEY = "a-key-of-this-test"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    gallery = build_gallery(tmp_path)
    with served(gallery.index, {"AAHR_API_KEYS": f"test:admin:{KEY}", "AAHR_WATCH_S": "0"}) as (client, _):
        yield str(client.base_url)


def test_everything_once(url: str) -> None:
    with Client(url, api_key=KEY) as aahr:
        assert aahr.search(text="red", limit=1).results[0].uri == "red.jpg"
        assert aahr.search(image=image_bytes("blue")).results[0].caption == "a blue square"
        first, second = aahr.search_batch([{"text": "green", "limit": 1}, {"id": "nobody"}])
        assert first.answer is not None
        assert first.answer.results[0].uri == "green.jpg"
        assert (second.status, second.error is not None) == (404, True)
        vector = aahr.embed(["yellow", image_bytes("red")])[0]
        hit = aahr.search(embedding=vector, limit=1).results[0]
        assert (aahr.item(hit.id).uri, aahr.image(hit.id)[:2]) == ("more/yellow.jpg", b"\xff\xd8")
        stored = aahr.add_item(image_bytes("magenta", "PNG"), captions=["a magenta square"], payload={"year": 2024})
        assert aahr.search(text="magenta", limit=1).results[0].payload == {"year": 2024}
        aahr.delete_item(stored.id)
        with pytest.raises(NotFound):
            aahr.item(stored.id)
        assert aahr.rollback().old.version != aahr.info()["index"]["version"]
        assert aahr.reload().new.version == aahr.info()["index"]["version"]
    with Client(url, api_key="wrong") as stranger, pytest.raises(Unauthorized):
        stranger.search(text="red")


def test_many_at_once(url: str) -> None:
    async def scenario() -> list[str]:
        async with AsyncClient(url, api_key=KEY) as aahr:
            colours = ["red", "green", "blue"] * 10
            answers = await asyncio.gather(*(aahr.search(text=colour, limit=1) for colour in colours))
            return [answer.results[0].uri for answer in answers]

    assert asyncio.run(scenario()) == ["red.jpg", "green.jpg", "blue.jpg"] * 10
