"""GET /items/{id} and its image."""

import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from index.items import image_item_id, text_item_id
from tests.galleries import build_gallery, image_bytes
from tests.unit.service.conftest import make_app, open_client

RED = image_item_id("red.jpg")
CAPTION = text_item_id("red.jpg", "a red square", 0)


def test_item(client: TestClient) -> None:
    assert client.get(f"/items/{RED}").json() == {
        "id": RED,
        "modality": "image",
        "uri": "red.jpg",
        "caption": "a red square",
        "payload": {"photographer": "red@example"},
        "description": None,
    }
    assert client.get(f"/items/{CAPTION}").json()["payload"] == {"photographer": "red@example"}


def test_image_of_an_item_and_of_its_caption(client: TestClient) -> None:
    response = client.get(f"/items/{RED}/image")
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.content[:3] == b"\xff\xd8\xff"
    assert client.get(f"/items/{CAPTION}/image").content == response.content


def test_image_that_the_client_has_is_not_sent_again(client: TestClient) -> None:
    etag = client.get(f"/items/{RED}/image").headers["etag"]
    again = client.get(f"/items/{RED}/image", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(f"/items/{RED}/image", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("value", ["bytes=abc", "bytes=999999-", "bytes=0-3"])
def test_ranges_are_not_served_and_break_nothing(client: TestClient, value: str) -> None:
    assert client.get(f"/items/{RED}/image", headers={"Range": value}).status_code == 200


@pytest.mark.parametrize("item", ["img_0", "..%2f..%2fetc%2fpasswd", "%00", "%ed%a0%80", "a" * 3000])
@pytest.mark.parametrize("suffix", ["", "/image"])
def test_unknown_items(client: TestClient, item: str, suffix: str) -> None:
    response = client.get(f"/items/{item}{suffix}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] in ("item_not_found", "not_found")


def test_file_that_is_gone_leads_out_or_is_not_an_image(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(image_bytes("black"))
    (gallery.images / "red.jpg").unlink()
    (gallery.images / "green.jpg").write_text("<script>alert(1)</script>")
    (gallery.images / "blue.jpg").unlink()
    os.symlink(secret, gallery.images / "blue.jpg")
    with open_client(make_app(gallery.index)) as client:
        for uri in ("red.jpg", "green.jpg", "blue.jpg"):
            response = client.get(f"/items/{image_item_id(uri)}/image")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "item_not_found")
        assert client.get(f"/items/{image_item_id('more/yellow.jpg')}/image").status_code == 200
