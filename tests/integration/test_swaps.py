"""Swaps of index and model, and workers that are killed, in processes of `aahr serve`."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.artifacts import write_colour_model
from tests.galleries import BuiltGallery, build_gallery, write_image
from tests.servers import eventually, served

SWAPS = 20
# Of the process after the first swaps: the allocator keeps some of what it had, and how much differs from run to run.
MAY_GROW = 12 * 2**20


@pytest.fixture
def gallery(tmp_path: Path) -> BuiltGallery:
    return build_gallery(tmp_path)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def traffic(client: httpx2.Client, clients: int = 4) -> Iterator[list[dict[str, object]]]:
    """Searches without a pause; yields the answers, and fails if one of them was not 200."""
    answers: list[dict[str, object]] = []
    stop = threading.Event()

    def search(seed: int) -> None:
        step = 0
        while not stop.is_set():
            step += 1
            response = client.post("/search", json={"text": "red", "score_threshold": -1 - seed - step / 1e6})
            assert response.status_code == 200, response.text
            answers.append(response.json())

    with ThreadPoolExecutor(clients) as threads:
        searching = [threads.submit(search, seed) for seed in range(clients)]
        try:
            yield answers
        finally:
            stop.set()
        for future in searching:
            future.result()


def test_swaps_of_index_and_model_under_load_mix_nothing_and_free_everything(gallery: BuiltGallery) -> None:
    """Two models with indexes of the same images take turns: an embedding of one means nothing to the other."""
    other = gallery.model.parent / "other"
    ids = [write_colour_model(other, seed=1).manifest.model_id]
    gallery.publish(model=other)
    with served(gallery.index, {"AAHR_WATCH_S": "0"}) as (client, process), traffic(client) as answers:
        sizes, files = [], []
        for swap in range(SWAPS):
            version = f"{1 + swap % 2:06}"
            swapped = client.post("/admin/rollback", json={"version": version})
            assert swapped.json()["new"]["version"] == version, swapped.text
            seen = len(answers)
            eventually(lambda seen=seen: len(answers) > seen + 8, "more is answered")  # type: ignore[misc]
            sizes.append(resident_bytes(process.pid))
            files.append(open_files(process.pid))
    by_version: dict[object, set[object]] = {version: set() for version in ("000001", "000002")}
    for answer in answers:
        by_version[answer["index"]["version"]].add(answer["model"]["model_id"])  # type: ignore[index]
    assert by_version["000002"] == set(ids)
    assert len(by_version["000001"]) == 1
    assert by_version["000001"] != by_version["000002"]
    firsts = {answer["results"][0]["uri"] for answer in answers}  # type: ignore[index]
    assert firsts == {"red.jpg"}
    assert sizes[-1] - sizes[SWAPS // 4] < MAY_GROW, sizes
    assert files[-1] <= files[SWAPS // 4] + 2, files


def test_what_is_published_is_served_by_every_worker_without_being_told(gallery: BuiltGallery) -> None:
    with served(gallery.index, {"AAHR_WORKERS": "2", "AAHR_WATCH_S": "0.1"}) as (client, _), traffic(client) as answers:
        write_image(gallery.images / "magenta.jpg", "magenta")
        gallery.publish()
        newest = "000002"
        eventually(lambda: _last_versions(answers, 40) == {newest}, "every worker serves the new version")


def test_a_killed_worker_is_started_again_and_the_other_one_answers(gallery: BuiltGallery) -> None:
    with served(gallery.index, {"AAHR_WORKERS": "2"}) as (client, process):
        (first, *_), children = _children(process.pid), _children(process.pid)
        os.kill(first, signal.SIGKILL)
        answered = 0
        deadline = time.monotonic() + 30
        while len(set(_children(process.pid)) - {first}) < len(children) or answered < 20:
            assert time.monotonic() < deadline
            try:
                # A connection of its own each time: those of the killed worker are gone with it.
                with httpx2.Client(base_url=client.base_url, trust_env=False) as fresh:
                    assert fresh.post("/search", json={"text": "red"}).status_code == 200
                    answered += 1
            except httpx2.TransportError:
                time.sleep(0.01)


def _last_versions(answers: list[dict[str, object]], count: int) -> set[object]:
    return {answer["index"]["version"] for answer in answers[-count:]}  # type: ignore[index]


def _children(pid: int) -> list[int]:
    """Workers of a parent: those of its children that serve."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
