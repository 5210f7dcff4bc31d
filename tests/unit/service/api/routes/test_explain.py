"""POST /explain as clients see it."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from index.items import image_item_id
from model.artifact import load_model_artifact
from tests.artifacts import write_colour_model, write_first_format
from tests.galleries import BuiltGallery, build_gallery, rebuild_index, write_image
from tests.unit.service.conftest import make_app, open_client

RED = image_item_id("red.jpg")


def test_an_explanation_has_every_part_and_the_score_of_the_search(client: TestClient) -> None:
    text = "a red square, blue!"
    found = client.post("/search", json={"text": text, "limit": 4}).json()["results"]
    answer = client.post("/explain", json={"text": f" {text}\u0000", "id": RED}).json()
    assert (answer["text"], answer["id"], answer["truncated"]) == (text, RED, False)
    assert answer["score"] == pytest.approx(next(hit["score"] for hit in found if hit["id"] == RED), abs=1e-5)
    assert answer["probability"] is None
    assert (answer["grid"], answer["region"]) == (
        {"rows": 2, "columns": 2},
        {"left": 0.0, "top": 0.0, "width": 1.0, "height": 1.0},
    )
    words = [(word["word"], word["start"], word["end"]) for word in answer["words"]]
    assert words == [("a", 0, 1), ("red", 2, 5), ("square", 6, 12), ("blue", 14, 18)]
    assert answer["index"] == {"name": "gallery-index", "version": "000001"}
    assert answer["model"]["name"] == "colours"
    assert answer["took_ms"] > 0


def test_each_word_is_where_its_colour_is(tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "model").directory
    (tmp_path / "images").mkdir()
    image = Image.new("RGB", (32, 32), "blue")
    image.paste("red", (16, 0, 32, 16))  # the upper right quarter
    image.save(tmp_path / "images" / "two.png")
    rebuild_index(model, tmp_path / "images", tmp_path / "index")
    with open_client(make_app(tmp_path / "index")) as client:
        asked = {"text": "red and blue", "id": image_item_id("two.png")}
        red, _, blue = (word["cosines"] for word in client.post("/explain", json=asked).json()["words"])
    assert red[0][1] > 0.95
    assert max(red[0][0], red[1][0], red[1][1]) < 0.5
    assert blue[0][1] < 0.5
    assert min(blue[0][0], blue[1][0], blue[1][1]) > 0.95


def test_a_long_text_is_explained_as_far_as_it_is_read(client: TestClient) -> None:
    answer = client.post("/explain", json={"text": "red " * 30, "id": RED}).json()
    assert answer["truncated"] is True
    assert len(answer["words"]) == 16


@pytest.mark.parametrize(
    ("sent", "status", "code", "field"),
    [
        ({"text": "red", "id": "img_0"}, 404, "item_not_found", "id"),
        ({"text": " \u0000", "id": RED}, 422, "empty_text", "text"),
        ({"text": "red " * 3000, "id": RED}, 422, "text_too_long", "text"),
        ({"text": "red"}, 422, "invalid_field", "id"),
        ({"text": "red", "id": 3}, 422, "invalid_field", "id"),
        ({"text": "red", "id": "i" * 201}, 422, "invalid_field", "id"),
        ({"text": "red", "id": RED, "limit": 3}, 422, "invalid_field", "limit"),
        ([], 422, "invalid_field", None),
    ],
)
def test_bad_requests_are_refused_and_the_next_good_one_works(
    client: TestClient, sent: Any, status: int, code: str, field: str | None
) -> None:
    response = client.post("/explain", json=sent)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error.get("field")) == (status, code, field)
    assert client.post("/explain", json={"text": "red", "id": RED}).status_code == 200


def test_a_caption_is_refused(client: TestClient) -> None:
    caption = client.post("/search", json={"id": RED, "target": "text", "limit": 1}).json()["results"][0]["id"]
    response = client.post("/explain", json={"text": "red", "id": caption})
    assert (response.status_code, response.json()["error"]["field"]) == (422, "id")
    assert "is a caption" in response.json()["error"]["message"]


def test_files_that_are_gone_broken_or_replaced(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path, captions=False)
    (gallery.images / "red.jpg").unlink()
    (gallery.images / "green.jpg").write_bytes((gallery.images / "blue.jpg").read_bytes()[:300])
    write_image(gallery.images / "blue.jpg", "orange")
    with open_client(make_app(gallery.index)) as client:
        answers = {
            uri: client.post("/explain", json={"text": "red", "id": image_item_id(uri)})
            for uri in ("red.jpg", "green.jpg", "blue.jpg", "more/yellow.jpg")
        }
        ready = client.get("/health/ready").status_code
    codes = [(answer.status_code, answer.json().get("error", {}).get("code")) for answer in answers.values()]
    assert codes == [(404, "item_not_found"), (404, "item_not_found"), (409, "image_changed"), (200, None)]
    assert ready == 200


def test_a_model_whose_local_features_cannot_be_compared_says_what_to_do(gallery: BuiltGallery, tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "model").directory
    write_first_format(load_model_artifact(model))
    rebuild_index(model, gallery.images, tmp_path / "index")
    with open_client(make_app(tmp_path / "index")) as client:
        response = client.post("/explain", json={"text": "red", "id": RED})
        assert (response.status_code, response.json()["error"]["code"]) == (422, "unsupported_query")
        assert "export its checkpoint again" in response.json()["error"]["message"]
        assert client.post("/search", json={"text": "red"}).status_code == 200
