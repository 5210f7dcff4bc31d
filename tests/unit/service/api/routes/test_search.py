"""POST /search as clients see it."""

import base64
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.galleries import BuiltGallery, build_gallery, image_bytes
from tests.unit.service.conftest import make_app, open_client


def results(client: TestClient, **fields: Any) -> list[dict[str, Any]]:
    response = client.post("/search", json=fields)
    assert response.status_code == 200, response.text
    hits: list[dict[str, Any]] = response.json()["results"]
    return hits


def test_answer_has_every_part(client: TestClient) -> None:
    response = client.post("/search", json={"text": " a red square", "limit": 1})
    answer = response.json()
    (hit,) = answer["results"]
    assert (hit["uri"], hit["modality"], hit["caption"], hit["payload"]) == (
        "red.jpg",
        "image",
        "a red square",
        {"photographer": "red@example"},
    )
    assert hit["score"] > 0.9
    assert answer["query"] == {
        "type": "text",
        "text": "a red square",
        "id": None,
        "target": "image",
        "truncated": False,
        "description": None,
        "notes": [],
    }
    assert answer["index"] == {"name": "gallery-index", "version": "000001"}
    assert answer["model"]["name"] == "colours"
    assert answer["cached"] is False
    assert answer["took_ms"] > 0
    timing = response.headers["server-timing"]
    assert all(f"{part};dur=" in timing for part in ("queue", "encode", "search", "cache", "total"))


def test_equal_request_comes_from_the_cache(client: TestClient) -> None:
    first = client.post("/search", json={"text": "red"}).json()
    second_response = client.post("/search", json={"limit": 10, "text": "red\u0000"})
    second = second_response.json()
    assert (first.pop("cached"), second.pop("cached")) == (False, True)
    first.pop("took_ms"), second.pop("took_ms")
    assert first == second
    assert "encode" not in second_response.headers["server-timing"]


def test_errors_are_not_cached(client: TestClient) -> None:
    for _ in range(2):
        assert client.post("/search", json={"id": "img_0"}).status_code == 404
    resources = client.app_state["resources"]
    assert resources.cache.bytes_held == 0


# WebP, GIF and PNG come as they are; the runtime sees upright RGB.
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_image_as_base64_data_uri_and_file_are_one_query(client: TestClient, kind: str) -> None:
    image = image_bytes("blue", kind)
    encoded = base64.b64encode(image).decode()
    answers = [
        client.post("/search", json={"image": encoded, "limit": 2}).json(),
        client.post("/search", json={"image": f"data:image/x;base64,{encoded}", "limit": 2}).json(),
        client.post("/search", files={"image": ("blue", image)}, data={"limit": "2"}).json(),
    ]
    assert [answer["cached"] for answer in answers] == [False, True, True]
    assert answers[0]["results"][0]["caption"] == "a blue square"
    assert answers[0]["results"] == answers[2]["results"]


def test_item_and_vector_queries(client: TestClient) -> None:
    (found,) = results(client, text="yellow", limit=1)
    assert results(client, id=found["id"], limit=1)[0]["caption"] == "a yellow square"
    assert results(client, id=found["id"], target="image", limit=1)[0]["id"] == found["id"]
    assert len(results(client, embedding=[1.0] * 16)) == 4


def test_without_payload_and_with(client: TestClient) -> None:
    (hit,) = results(client, text="red", target="text", limit=1)
    assert hit["payload"] == {"photographer": "red@example"}
    (hit,) = results(client, text="red", target="text", limit=1, with_payload=False)
    assert hit["payload"] is None


def test_offset_beyond_the_gallery_is_empty(client: TestClient) -> None:
    assert results(client, text="red", offset=client.get("/info").json()["limits"]["max_offset"]) == []


def test_offset_above_the_limit_that_info_names_is_refused(client: TestClient) -> None:
    above = client.get("/info").json()["limits"]["max_offset"] + 1
    response = client.post("/search", json={"text": "red", "offset": above})
    assert (response.status_code, response.json()["error"]["field"]) == (422, "offset")
    assert response.json()["error"]["message"].endswith(f"less than or equal to {above - 1}")


def test_gallery_without_captions(tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = build_gallery(tmp_path_factory.mktemp("bare"), captions=False)
    with open_client(make_app(bare.index)) as client:
        answer = client.post("/search", files={"image": image_bytes("red")}).json()
    assert answer["results"][0]["uri"] == "red.jpg"
    assert answer["query"]["target"] == "image"
    assert "no captions" in answer["query"]["notes"][0]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "image/png", ";"])
def test_other_content_types(client: TestClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = client.post("/search", content=b'{"text": "red"}', headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b"no parts"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x; charset=undefined", b'--x\r\nContent-Disposition: form-data; name="a"\r\n'),
        (
            "multipart/form-data; boundary=x; charset=idna",
            b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n',
        ),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x--"),
    ],
)
def test_broken_forms(client: TestClient, content_type: str, body: bytes) -> None:
    response = client.post("/search", content=body, headers={"Content-Type": content_type})
    assert response.status_code in (400, 422), response.text
    assert set(response.json()) == {"error"}
    assert results(client, text="red")


def test_too_large_bodies_announced_or_not(gallery: BuiltGallery) -> None:
    with open_client(make_app(gallery.index, max_body_bytes=2000)) as client:
        headers = {"Content-Type": "application/json"}
        announced = client.post("/search", content=b" " * 2001, headers=headers)
        streamed = client.post("/search", content=iter([b" " * 1001] * 2), headers=headers)
        form = client.post("/search", files={"image": bytes(2000)})
        for response in (announced, streamed, form):
            assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
        assert results(client, text="red")


def test_answer_from_the_cache_names_the_version_that_is_served(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A rebuild of the same images is another version with equal answers."""
    gallery = build_gallery(tmp_path_factory.mktemp("again"))
    with open_client(make_app(gallery.index)) as client:
        first = client.post("/search", json={"text": "red"}).json()
        gallery.publish()
        client.post("/admin/reload")
        second = client.post("/search", json={"text": "red"}).json()
    assert (first["cached"], first["index"]["version"]) == (False, "000001")
    assert (second["cached"], second["index"]["version"]) == (True, "000002")
    assert first["results"] == second["results"]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"must": [{"key": "photographer", "match": {"value": "blue@example"}}]}, ["blue.jpg"]),
        ({"must_not": [{"key": "photographer", "match": {"any": ["red@example", "blue@example"]}}]}, ["green", "more"]),
        ({"must": [{"key": "uri", "match": {"text": "MORE/"}}]}, ["more/yellow.jpg"]),
        ({"must": [{"key": "year", "range": {"gte": 2010}}]}, []),
        ({}, ["blue", "green", "more", "red"]),
    ],
)
def test_filter_chooses_items_before_the_best_are_taken(
    client: TestClient, filter: dict[str, Any], found: list[str]
) -> None:
    response = client.post("/search", json={"text": "red", "limit": 4, "filter": filter})
    assert response.status_code == 200, response.text
    uris = sorted(hit["uri"] for hit in response.json()["results"])
    assert [uri[: len(name)] for uri, name in zip(uris, found, strict=True)] == found
    form = client.post("/search", data={"text": "red", "limit": "4", "filter": json.dumps(filter)}, files={"x": b""})
    assert form.status_code == 422, "an unknown file is refused"
    form = client.post(
        "/search", files={"text": (None, "red"), "limit": (None, "4"), "filter": (None, json.dumps(filter))}
    )
    assert sorted(hit["uri"] for hit in form.json()["results"]) == uris


@pytest.mark.parametrize(
    "filter", [[], "x", {"must": 1}, {"must": [{"key": "a"}]}, {"must": [{"key": "a", "match": {}}]}, {"may": []}]
)
def test_a_filter_that_cannot_be_used_is_refused_and_the_next_is_answered(client: TestClient, filter: Any) -> None:
    response = client.post("/search", json={"text": "red", "filter": filter})
    assert response.status_code == 422
    assert "filter" in response.json()["error"]["message"]
    assert client.post("/search", json={"text": "red", "filter": {}}).status_code == 200
