"""Changes of a served index: durable when answered, whoever is killed, and no search fails meanwhile."""

import base64
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from index.items import image_item_id
from model.errors import ArtifactBusy
from tests.galleries import build_gallery, image_bytes, write_image
from tests.servers import eventually, served


def encoded(colour: str) -> str:
    return base64.b64encode(image_bytes(colour)).decode()


def publish_patiently(publish: Callable[[], None]) -> None:
    """A rebuild that finds a change in progress is refused, and run again."""
    for _ in range(200):
        try:
            return publish()
        except ArtifactBusy:
            time.sleep(0.01)
    raise AssertionError("changes never let a rebuild in")


def test_what_was_answered_outlives_the_process(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    red = image_item_id("red.jpg")
    for number in range(2):
        with served(gallery.index) as (client, process):
            if number:  # What the process before has answered.
                assert client.get(f"/items/pink-{number - 1}/image").content == image_bytes("magenta")
                assert client.get(f"/items/{red}").status_code == 404
            stored = client.post("/items", json={"image": encoded("magenta"), "id": f"pink-{number}"})
            assert stored.status_code == 201, stored.text
            if not number:
                assert client.delete(f"/items/{red}").status_code == 200
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_many_change_while_many_search(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with served(gallery.index) as (client, _):
        done = threading.Event()
        failed: list[str] = []
        searches = 0

        def search() -> None:
            nonlocal searches
            while not done.is_set():
                answer = client.post("/search", json={"text": f"a magenta square {searches}", "limit": 3})
                searches += 1
                if answer.status_code != 200:
                    failed.append(answer.text)

        def change(number: int) -> tuple[int, bool, int]:
            body = {"image": encoded("magenta"), "id": f"m{number}", "captions": [f"a magenta dog {number}"]}
            stored = client.post("/items", json=body)
            seen = client.get(f"/items/m{number}").status_code == 200
            return stored.status_code, seen, client.delete(f"/items/m{number}").status_code

        with ThreadPoolExecutor(10) as threads:
            searching = [threads.submit(search) for _ in range(2)]
            outcomes = list(threads.map(change, range(24)))
            done.set()
            for thread in searching:
                thread.result()
        assert set(outcomes) == {(201, True, 200)}
        assert (failed, searches > 0) == ([], True)
        info = client.get("/info").json()["index"]
        assert (info["images"], info["texts"]) == (4, 4)
        assert int(info["version"]) < 40  # many of the 48 changes were published together


def test_a_rebuild_and_changes_wait_for_each_other(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with served(gallery.index, {"AAHR_WATCH_S": "0.1"}) as (client, _):
        statuses: list[int] = []
        done = threading.Event()

        def change(other: httpx2.Client) -> None:
            while not done.is_set():
                statuses.append(other.post("/items", json={"image": encoded("cyan"), "id": "cyan"}).status_code)

        changing = threading.Thread(target=change, args=(client,))
        changing.start()
        try:
            for number, colour in enumerate(("magenta", "purple")):
                write_image(gallery.images / f"{colour}.jpg", colour)
                publish_patiently(gallery.publish)
                eventually(lambda wanted=number + 2: len(statuses) >= wanted, "changes go on")  # type: ignore[misc]
        finally:
            done.set()
            changing.join()
        assert set(statuses) <= {200, 201}
        assert len(statuses) > 1
        assert client.post("/items", json={"image": encoded("cyan"), "id": "cyan"}).status_code in (200, 201)
        assert client.get(f"/items/{image_item_id('purple.jpg')}").status_code == 200
