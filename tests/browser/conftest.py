"""A gallery of coloured squares, served by a process of its own, and a Chromium that looks at it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from model.artifact import load_model_artifact
from tests.artifacts import write_calibrated, write_colour_model
from tests.galleries import rebuild_index, write_image
from tests.servers import served

COLOURS = {"red": "warm", "orange": "warm", "yellow": "warm", "green": "cold", "blue": "cold", "cyan": "cold"}
EACH = 5
KEY = "a-key-that-may-write"


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of thirty squares in six colours: more than one page of results, with a payload to filter by."""
    place = tmp_path_factory.mktemp("browser")
    write_calibrated(load_model_artifact(write_colour_model(place / "model").directory))
    rows = ["image,caption,kind"]
    for colour, kind in COLOURS.items():
        for number in range(EACH):
            write_image(place / "images" / f"{colour}-{number}.png", colour)
            rows.append(f"{colour}-{number}.png,a {colour} square,{kind}")
    (place / "captions.csv").write_text("\n".join(rows) + "\n")
    rebuild_index(place / "model", place / "images", place / "index", place / "captions.csv")
    return place / "index"


@pytest.fixture(scope="module")
def address(gallery: Path) -> Iterator[str]:
    """Where it is served, to this machine without a key."""
    with served(gallery, {"AAHR_WATCH_S": "0"}) as (client, _):
        yield str(client.base_url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; missing, it is a failure in CI and a skip elsewhere.

    Closed with the module: while Playwright is open its event loop runs, and no other test can start one.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        message = "Chromium is not installed, the page was NOT tested: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page that fails the test where it asks another host for something, or writes an error to its console."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    faults: list[str] = []
    expected: list[str] = []  # what a test provokes
    opened.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda request: faults.append(request.url) if _is_foreign(request, address) else None)
    opened.expected_faults = expected  # type: ignore[attr-defined]
    yield opened
    context.close()
    assert [fault for fault in faults if not any(part in fault for part in expected)] == []


def _is_foreign(request: Request, address: str) -> bool:
    return not request.url.startswith((address, "blob:", "data:"))
