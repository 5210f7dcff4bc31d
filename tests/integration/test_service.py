"""`aahr serve` as a process: every kind of bad input, reload under traffic, and no torch."""

import base64
import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.galleries import IMAGES, BuiltGallery, build_gallery, image_bytes, write_image
from tests.servers import eventually, running, served

JSON = {"Content-Type": "application/json"}
WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"{name} is blocked in this test")

sys.meta_path.insert(0, NoTorch())
from cli import main
sys.argv[0] = "aahr"
main()
"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def client(gallery: BuiltGallery) -> Iterator[httpx2.Client]:
    with served(gallery.index) as (client, _):
        yield client


def large_image() -> bytes:
    """A small file of 64 million pixels."""
    buffer = BytesIO()
    Image.new("L", (8000, 8000)).save(buffer, "JPEG", quality=10)
    return buffer.getvalue()


def encoded(image: bytes) -> bytes:
    return json.dumps({"image": base64.b64encode(image).decode()}).encode()


BAD = {
    "no body": (b"", 400),
    "no json": (b"text=red", 400),
    "half a json": (b'{"text": "re', 400),
    "not utf-8": (b'{"text": "\xff"}', 400),
    "deep lists": (b"[" * 500_000, 400),
    "deep objects": (b'{"text":' * 300_000, 400),
    "deep inside": (b'{"text":' + b"[" * 900 + b"]" * 900 + b"}", 422),
    "huge integer": (b'{"text": "red", "limit": ' + b"9" * 10_000 + b"}", 400),
    "list": (b"[1]", 422),
    "nothing asked": (b"{}", 422),
    "two queries": (b'{"text": "red", "id": "x"}', 422),
    "twice": (b'{"text": "red", "text": "blue"}', 422),
    "unknown field": (b'{"text": "red", "colour": 1}', 422),
    "surrogate field": (b'{"text": "red", "\\ud800": 1}', 422),
    "number as text": (b'{"text": 1}', 422),
    "empty text": (b'{"text": " \\n"}', 422),
    "only NUL": (b'{"text": "\\u0000"}', 422),
    "long text": (json.dumps({"text": "red " * 2501}).encode(), 422),
    "limit 0": (b'{"text": "red", "limit": 0}', 422),
    "limit 1001": (b'{"text": "red", "limit": 1001}', 422),
    "offset -1": (b'{"text": "red", "offset": -1}', 422),
    "huge offset": (b'{"text": "red", "offset": 1e300}', 422),
    "target": (b'{"text": "red", "target": "sound"}', 422),
    "NaN threshold": (b'{"text": "red", "score_threshold": NaN}', 422),
    "NaN": (b'{"embedding": [NaN' + b",0" * 15 + b"]}", 422),
    "Infinity": (b'{"embedding": [Infinity' + b",0" * 15 + b"]}", 422),
    "1e999": (b'{"embedding": [1e999' + b",0" * 15 + b"]}", 422),
    "zero vector": (b'{"embedding": [0' + b",0" * 15 + b"]}", 422),
    "dimension": (b'{"embedding": [1, 2]}', 422),
    "a million numbers": (b'{"embedding": [1' + b",1" * 1_000_000 + b"]}", 422),
    "unknown id": (b'{"id": "img_0000"}', 404),
    "surrogate id": (b'{"id": "\\ud800"}', 422),
    "half base64": (encoded(image_bytes("red"))[:-4] + b'"}', 422),
    "half an image": (encoded(image_bytes("red")[:300]), 422),
    "not an image": (encoded(b"%PDF-1.7 foreign"), 422),
    "empty image": (b'{"image": ""}', 422),
    "64 megapixels": (encoded(large_image()), 413),
    "20 MB": (b" " * 20_000_001, 413),
}


@pytest.mark.parametrize(("body", "status"), BAD.values(), ids=BAD.keys())
def test_bad_json_is_refused_and_the_next_request_works(client: httpx2.Client, body: bytes, status: int) -> None:
    response = client.post("/search", content=body, headers=JSON)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) <= {"code", "message", "field"}
    assert "\n" not in error["message"]
    assert_works(client)


IMAGE_PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc'
BAD_FORMS = {
    "no parts": b"--x--\r\n",
    "no end": IMAGE_PART,
    "two images": b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc\r\n' * 2
    + b"--x--\r\n",
    "many fields": b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % n for n in range(100)),
    "empty file": b'--x\r\nContent-Disposition: form-data; name="image"; filename=""\r\n\r\n\r\n--x--\r\n',
    "no form": b"abc",
}


@pytest.mark.parametrize("body", BAD_FORMS.values(), ids=BAD_FORMS.keys())
def test_bad_forms_are_refused_and_the_next_request_works(client: httpx2.Client, body: bytes) -> None:
    response = client.post("/search", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert response.status_code in (400, 422), response.text
    assert set(response.json()["error"]) <= {"code", "message", "field"}
    assert_works(client)


def test_body_without_an_announced_length_is_cut_off(client: httpx2.Client) -> None:
    response = client.post("/search", content=iter([b" " * 1_000_000] * 21), headers=JSON)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert_works(client)


def assert_works(client: httpx2.Client) -> None:
    by_text = client.post("/search", json={"text": "a blue square", "limit": 1}).json()
    by_image = client.post("/search", files={"image": image_bytes("blue")}, data={"limit": "1"}).json()
    assert by_text["results"][0]["uri"] == "blue.jpg"
    assert by_image["results"][0]["caption"] == "a blue square"


def publish_other_images(gallery: BuiltGallery, colours: Sequence[str]) -> set[str]:
    """Publish a version without any item of the one before; returns the uris of its images."""
    shutil.rmtree(gallery.images)
    for colour in colours:
        write_image(gallery.images / f"{colour}.jpg", colour)
    gallery.publish()
    return {f"{colour}.jpg" for colour in colours}


def test_every_request_under_reload_is_answered_by_one_whole_version(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    uris_of = {"000001": set(IMAGES.values())}
    seen: set[str] = set()
    stop = threading.Event()
    with served(gallery.index) as (client, _):

        def traffic(seed: int) -> None:
            for step in itertools.count():
                if stop.is_set():
                    return
                # Every other request is new to the cache.
                threshold = -1 - seed - step / 1e6 if step % 2 else -1.0
                query = {"text": "red", "target": "image", "score_threshold": threshold}
                response = client.post("/search", json=query)
                assert response.status_code == 200, response.text
                version = response.json()["index"]["version"]
                assert {hit["uri"] for hit in response.json()["results"]} == uris_of[version]
                seen.add(version)

        def answers(version: str) -> bool:
            """Also where a client has failed, whose error is then shown."""
            return version in seen or any(future.done() for future in clients)

        with ThreadPoolExecutor(4) as threads:
            clients = [threads.submit(traffic, seed) for seed in range(4)]
            try:
                eventually(lambda: answers("000001"), "the first version answers")
                for number, colours in enumerate((["cyan", "gray"], ["magenta"], ["orange", "white", "red"]), start=2):
                    version = f"{number:06}"
                    uris_of[version] = publish_other_images(gallery, colours)
                    assert client.post("/admin/reload").json()["new"]["version"] == version
                    eventually(partial(answers, version), f"version {version} answers")
            finally:
                stop.set()
            for future in clients:
                future.result()
    assert seen == set(uris_of)


def test_index_is_built_and_served_without_torch(gallery: BuiltGallery, tmp_path: Path) -> None:
    index = tmp_path / "index"
    arguments = ["index", "rebuild", "--model", gallery.model, "--images", gallery.images, "--out", index]
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)], check=True, timeout=120)
    with served(index, code=WITHOUT_TORCH) as (client, _):
        assert client.post("/search", json={"text": "green"}).json()["results"][0]["uri"] == "green.jpg"


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_service_ends_in_order_without_a_traceback(gallery: BuiltGallery, told: signal.Signals) -> None:
    with served(gallery.index) as (client, process):
        assert client.get("/health/ready").status_code == 200
        process.send_signal(told)
        process.wait(timeout=20)
        output = process.output
    assert "Traceback" not in output
    assert process.returncode in (0, -told)


def test_what_is_missing_is_one_line_and_status_2(tmp_path: Path) -> None:
    code = "import sys; from cli import main; sys.argv[0] = 'aahr'; main()"
    with running([sys.executable, "-c", code, "serve", "--index", str(tmp_path / "nothing"), "--port", "0"]) as process:
        process.wait(timeout=60)
        output = process.output
    assert process.returncode == 2
    assert output.startswith("aahr: ")
    assert output.count("\n") == 1
