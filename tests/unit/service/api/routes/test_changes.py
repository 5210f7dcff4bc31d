"""POST /items, DELETE /items/{id} and their batches: what is stored, found and refused."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from index.collection.local import LocalStore
from index.items import image_item_id
from index.manifest import IndexedModel
from index.pending import PendingRows, PendingVersion
from tests.artifacts import write_region_model
from tests.galleries import BuiltGallery, build_gallery, image_bytes, open_index
from tests.unit.service.conftest import make_app, open_client

RED = image_item_id("red.jpg")


@pytest.fixture
def own(tmp_path: Path) -> BuiltGallery:
    return build_gallery(tmp_path)


@pytest.fixture
def client(own: BuiltGallery) -> Iterator[TestClient]:
    with open_client(make_app(own.index), raise_server_exceptions=False) as client:
        yield client


def item(colour: str, **fields: Any) -> dict[str, Any]:
    return {"image": base64.b64encode(image_bytes(colour, "PNG")).decode(), **fields}


def found(client: TestClient, text: str, **fields: Any) -> list[str]:
    answer = client.post("/search", json={"text": text, **fields})
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["results"]]


def test_a_new_item_is_searched_at_once_and_shown(client: TestClient, own: BuiltGallery) -> None:
    sent = item("magenta", id="pink-1", captions=["a magenta square", "a dog"], payload={"year": 2024})
    answer = client.post("/items", json=sent)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/items/pink-1"
    stored = answer.json()["item"]
    assert (stored["id"], answer.json()["index"]) == ("pink-1", {"name": own.index.name, "version": "000002"})
    assert found(client, "magenta", limit=1) == ["pink-1"]
    assert found(client, "magenta", limit=1, target="text") == stored["caption_ids"][:1]
    year = {"must": [{"key": "year", "range": {"gte": 2010}}]}
    assert found(client, "red", filter=year) == ["pink-1"]
    shown = client.get("/items/pink-1").json()
    assert (shown["caption"], shown["payload"]) == ("a magenta square", {"year": 2024})
    assert client.get("/items/pink-1/image").content == image_bytes("magenta", "PNG")
    assert (own.images / stored["uri"]).read_bytes() == image_bytes("magenta", "PNG")


def test_a_form_is_as_good_as_json(client: TestClient) -> None:
    files = {"image": ("../../evil.php", image_bytes("cyan"), "text/html")}
    form = {"id": "sea", "caption": ["a cyan square", "the beach"], "payload": '{"place": "beach"}'}
    answer = client.post("/items", files=files, data=form)
    assert answer.status_code == 201, answer.text
    assert answer.json()["item"]["uri"].startswith("uploads/")
    assert len(answer.json()["item"]["caption_ids"]) == 2
    assert client.get("/items/sea").json()["payload"] == {"place": "beach"}
    listed = client.post("/items", files=files, data={"id": "sea", "captions": '["a cyan square"]'})
    assert (listed.status_code, len(listed.json()["item"]["caption_ids"])) == (200, 1)


def test_an_item_of_the_same_id_is_replaced_with_its_captions(client: TestClient) -> None:
    before = found(client, "red", target="text", limit=1)
    answer = client.post("/items", json=item("purple", id=RED, captions=["a purple circle"]))
    assert answer.status_code == 200, answer.text
    assert client.get(f"/items/{before[0]}").status_code == 404
    assert client.get(f"/items/{RED}").json()["caption"] == "a purple circle"
    assert found(client, "purple", limit=1) == [RED]
    assert client.get("/info").json()["index"]["images"] == 4


def test_equal_images_are_one_file_and_without_ids_one_item(client: TestClient, own: BuiltGallery) -> None:
    first, again = (client.post("/items", json=item("cyan", captions=["a dog"])) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["item"] == again.json()["item"]
    named = client.post("/items", json=item("cyan", id="named", captions=["a dog"]))
    assert named.json()["item"]["uri"] == first.json()["item"]["uri"]
    assert len(list((own.images / "uploads").iterdir())) == 1
    assert client.get(f"/items/{first.json()['item']['caption_ids'][0]}").status_code == 200
    assert set(named.json()["item"]["caption_ids"]).isdisjoint(first.json()["item"]["caption_ids"])


def test_a_deleted_item_is_gone_with_its_captions(client: TestClient) -> None:
    caption = found(client, "red", target="text", limit=1)[0]
    answer = client.delete(f"/items/{RED}")
    assert (answer.status_code, answer.json()["index"]["version"]) == (200, "000002")
    assert client.get(f"/items/{RED}").status_code == 404
    assert client.get(f"/items/{caption}").status_code == 404
    assert RED not in found(client, "red")
    gone = client.delete(f"/items/{RED}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "item_not_found")


def test_a_batch_is_one_version_and_a_bad_item_harms_no_other(client: TestClient) -> None:
    bad = [
        {"image": "AAAA", "id": "no-image"},
        {"id": "none"},
        item("cyan", id="a/b"),
        item("cyan", payload={"x": "y" * 70_000}),
        item("cyan", captions=["a dog", " \x00"]),
    ]
    sent = [item("magenta", id="m"), *bad, item("cyan", id="c", captions=["a cyan square"]), item("gray", id=RED)]
    answer = client.post("/items/batch", json={"items": sent}).json()
    assert [part["status"] for part in answer["items"]] == [201, 422, 422, 422, 422, 422, 201, 200]
    assert all((part["item"] is None) == (part["error"] is not None) for part in answer["items"])
    assert [part["error"]["field"] for part in answer["items"][1:6]] == ["image", "image", "id", "payload", "captions"]
    assert answer["index"]["version"] == "000002"
    assert found(client, "cyan", limit=1) == ["c"]


def test_of_equal_ids_the_last_one_counts(client: TestClient) -> None:
    sent = [item("magenta", id="x", captions=["a dog"]), item("cyan", id="x", captions=["a cat", "a cat"])]
    answer = client.post("/items/batch", json={"items": sent}).json()
    assert [part["status"] for part in answer["items"]] == [201, 200]
    assert client.get("/items/x").json()["caption"] == "a cat"
    statuses = [client.get(f"/items/{part['item']['caption_ids'][0]}").status_code for part in answer["items"]]
    assert statuses == [404, 200]


def test_many_are_deleted_in_one_version(client: TestClient) -> None:
    caption = found(client, "red", target="text", limit=1)[0]
    ids = [RED, "unknown", caption, image_item_id("blue.jpg"), RED]
    answer = client.post("/items/delete", json={"ids": ids}).json()
    assert [part["status"] for part in answer["items"]] == [200, 404, 200, 200, 404]
    assert answer["index"]["version"] == "000002"
    assert client.get("/info").json()["index"]["images"] == 2


def test_an_id_of_a_caption_is_not_given_to_an_image(client: TestClient) -> None:
    caption = found(client, "red", target="text", limit=1)[0]
    answer = client.post("/items", json=item("cyan", id=caption))
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "id")


LONE = base64.b64encode(image_bytes("cyan")).decode()
REFUSED = {
    "path": ({"image": LONE, "id": "../../etc/passwd"}, "id"),
    "backslash": ({"image": LONE, "id": "..\\x"}, "id"),
    "dots": ({"image": LONE, "id": ".."}, "id"),
    "control": ({"image": LONE, "id": "a\x00b"}, "id"),
    "newline": ({"image": LONE, "id": "a\n"}, "id"),
    "surrogate": ({"image": LONE, "id": "\ud800"}, "id"),
    "empty id": ({"image": LONE, "id": ""}, "id"),
    "long id": ({"image": LONE, "id": "x" * 201}, "id"),
    "number as id": ({"image": LONE, "id": 7}, "id"),
    "many captions": ({"image": LONE, "captions": ["a dog"] * 10_000}, "captions"),
    "long caption": ({"image": LONE, "captions": ["a " * 10_001]}, "captions"),
    "empty caption": ({"image": LONE, "captions": [" "]}, "captions"),
    "no list": ({"image": LONE, "captions": {"a": 1}}, "captions"),
    "payload list": ({"image": LONE, "payload": [1]}, "payload"),
    "NaN": ({"image": LONE, "payload": {"x": float("nan")}}, "payload"),
    "infinity": ({"image": LONE, "payload": {"x": [float("inf")]}}, "payload"),
    "large number": ({"image": LONE, "payload": {"x": 2**63}}, "payload"),
    "large payload": ({"image": LONE, "payload": {"x": "y" * 2**16}}, "payload"),
    "surrogate in payload": ({"image": LONE, "payload": {"x": "\ud800"}}, "payload"),
    "no image": ({"id": "x"}, "image"),
    "empty image": ({"image": ""}, "image"),
    "no base64": ({"image": "%"}, "image"),
    "half an image": ({"image": base64.b64encode(image_bytes("red")[:200]).decode()}, "image"),
    "unknown field": ({"image": LONE, "uri": "/etc/passwd"}, "uri"),
}


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One service for all that is refused: each must leave it as it was, and able to take what is good."""
    gallery = build_gallery(tmp_path_factory.mktemp("refusing"))
    with open_client(make_app(gallery.index), raise_server_exceptions=False) as client:
        yield client
        assert not (gallery.images / "uploads").exists()
        assert client.get("/info").json()["index"]["version"] == "000001"
        assert client.post("/items", json=item("cyan")).status_code == 201


@pytest.mark.parametrize(("body", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_stored_is_refused(refusing: TestClient, body: Any, field: str) -> None:
    answer = refusing.post("/items", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), answer.text


def test_a_bomb_is_refused(refusing: TestClient) -> None:
    buffer = BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    bomb = buffer.getvalue()
    assert len(bomb) < 100_000
    answer = refusing.post("/items", files={"image": bomb})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "image_too_large")
    in_batch = refusing.post("/items/batch", json={"items": [{"image": base64.b64encode(bomb).decode()}]})
    assert [part["status"] for part in in_batch.json()["items"]] == [413]


PART = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
FORMS = {
    "empty file": PART % (b"image", b'; filename="a.jpg"', b""),
    "no parts": b"",
    "two images": (PART % (b"image", b'; filename="a.jpg"', b"abc")) * 2,
    "both captions": PART % (b"image", b'; filename="a"', image_bytes("red"))
    + PART % (b"captions", b"", b"[]")
    + PART % (b"caption", b"", b"a dog"),
    "many captions": PART % (b"image", b'; filename="a"', b"abc") + (PART % (b"caption", b"", b"a dog")) * 10_000,
    "payload": PART % (b"image", b'; filename="a"', image_bytes("red")) + PART % (b"payload", b"", b"{"),
    "NaN": PART % (b"image", b'; filename="a"', image_bytes("red")) + PART % (b"payload", b"", b'{"a": NaN}'),
    "caption file": PART % (b"image", b'; filename="a"', image_bytes("red"))
    + PART % (b"caption", b'; filename="b"', b"\xff"),
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS.keys())
def test_forms_that_cannot_be_stored_are_refused(refusing: TestClient, body: bytes) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = refusing.post("/items", content=body + b"--x--\r\n", headers=kind)
    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()["error"]) <= {"code", "message", "field"}


@pytest.mark.parametrize("path", ["/items", "/items/batch", "/items/delete"])
@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"items": 1}', "application/json", 422),
        (b'{"items": []}', "application/json", 422),
        (json.dumps({"items": [{}] * 257}).encode(), "application/json", 422),
        (json.dumps({"ids": ["x"] * 257}).encode(), "application/json", 422),
        (b"[]", "application/json", 422),
        (b"image", "text/plain", 415),
        (b"\xff\xd8", "image/jpeg", 415),
        (b"", "", 415),
    ],
)
def test_bodies_of_other_kinds_are_refused(
    refusing: TestClient, path: str, content: bytes, kind: str, status: int
) -> None:
    answer = refusing.post(path, content=content, headers={"Content-Type": kind} if kind else {})
    assert (answer.status_code, set(answer.json())) == (status, {"error"}), answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/items"), ("POST", "/items/batch"), ("POST", "/items/delete"), ("DELETE", "/items/x")],
)
def test_others_may_not_write_and_nothing_of_them_is_read(gallery: BuiltGallery, method: str, path: str) -> None:
    with open_client(make_app(gallery.index, admin_token="secret")) as client:
        answer = client.request(method, path, content=b"[" * 100_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


def test_a_root_that_cannot_be_written_to_is_a_conflict(client: TestClient, own: BuiltGallery) -> None:
    (own.images / "uploads").write_bytes(b"in the way")
    answer = client.post("/items", json=item("cyan"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "images_not_writable")
    assert str(own.images) not in answer.text
    assert client.delete(f"/items/{RED}").status_code == 200


def test_another_writer_is_told_of_with_a_time_to_come_again(client: TestClient, own: BuiltGallery) -> None:
    with LocalStore(own.index).catalog.writing():
        answer = client.post("/admin/rollback")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "artifact_busy")
    assert int(answer.headers["retry-after"]) > 0


def test_a_model_of_regions_takes_no_images_but_deletes(own: BuiltGallery, tmp_path: Path) -> None:
    regions = write_region_model(tmp_path / "regions").manifest
    model = IndexedModel(model_id=regions.model_id, name="r", dimension=16, directory=str(tmp_path / "regions"))
    segments = open_index(own.index).snapshot.segments
    rows = {segment.modality: PendingRows(segment.vectors, segment.metadata.columns) for segment in segments}
    LocalStore(tmp_path / "index").publish(PendingVersion(model, own.images, rows))
    with open_client(make_app(tmp_path / "index")) as client:
        answer = client.post("/items", json=item("cyan"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unsupported_query")
        assert client.delete(f"/items/{RED}").status_code == 200


def test_a_format_that_is_not_allowed_is_refused(gallery: BuiltGallery) -> None:
    with open_client(make_app(gallery.index, image_formats="JPEG")) as client:
        alone = client.post("/items", json=item("cyan"))
        batch = client.post("/items/batch", json={"items": [item("cyan")]}).json()
    assert (alone.status_code, [part["status"] for part in batch["items"]]) == (422, [422])
    assert alone.json()["error"] == batch["items"][0]["error"]
