"""What people do on the page, in a real browser."""

import base64
import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import KEY
from tests.browser.steps import CARDS, search
from tests.galleries import image_bytes
from tests.servers import served

DROP = """([content, name]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type: "image/png" }));
    for (const kind of ["dragenter", "drop"]) {
        document.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true }));
    }
}"""
PASTE = """([content, name]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type: "image/png" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
}"""


def encoded(colour: str) -> str:
    return base64.b64encode(image_bytes(colour, "PNG")).decode()


def first_caption(page: Page) -> str:
    return page.locator(f"{CARDS} .caption").first.inner_text()


def test_results_come_as_one_types_and_more_as_one_scrolls(page: Page) -> None:
    search(page, "blue")
    assert first_caption(page) == "a blue square"
    assert page.url.endswith("/?text=blue")
    expect(page.locator(CARDS)).to_have_count(24)
    page.mouse.wheel(0, 20_000)
    expect(page.locator(CARDS)).to_have_count(30)
    expect(page.locator("#more")).to_have_text("That is all.")


def test_an_example_leads_to_answers_and_back_leads_to_the_examples(page: Page) -> None:
    page.goto("/")
    page.locator(".example").first.click()
    expect(page.locator(CARDS).first).to_be_visible()
    page.go_back()
    expect(page.locator(".example").first).to_be_visible()
    expect(page.locator(CARDS)).to_have_count(0)


@pytest.mark.parametrize("way", [DROP, PASTE], ids=["drop", "paste"])
def test_an_image_is_dropped_or_pasted(page: Page, way: str) -> None:
    page.goto("/")
    page.evaluate(way, [encoded("green"), "mine.png"])
    expect(page.locator(".chip")).to_contain_text("mine.png")
    expect(page.locator(CARDS).first).to_be_visible()
    assert first_caption(page) == "a green square"
    page.get_by_label("Remove mine.png").click()
    expect(page.locator(CARDS)).to_have_count(0)


def test_an_image_is_chosen_and_finds_captions(page: Page) -> None:
    page.goto("/")
    page.get_by_text("Captions", exact=True).click()
    page.set_input_files("#image", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": image_bytes("yellow")})
    expect(page.locator(".card.text").first).to_be_visible()
    assert first_caption(page) == "a yellow square"


def test_a_filter_leaves_what_it_names(page: Page) -> None:
    search(page, "blue")
    page.locator("summary", has_text="kind").click()
    page.get_by_label("warm").check()
    expect(page.locator(CARDS)).to_have_count(15)
    assert "blue" not in page.locator("#results").inner_text()
    page.reload()
    expect(page.locator(CARDS)).to_have_count(15)


def test_more_of_one_and_less_of_another(page: Page) -> None:
    search(page, "orange")
    page.locator(CARDS, has_text="yellow").get_by_text("Less of that").first.click()
    expect(page.locator(".chip.far")).to_have_count(1)
    page.locator(CARDS, has_text="red").get_by_text("More like this").first.click()
    expect(page.locator(".chip.near")).to_have_count(1)
    expect(page.locator(f"{CARDS} .caption").first).to_have_text("a red square")
    assert re.search(r"mix=-0\.5%3A.*mix=1%3A", page.url)


def test_a_result_opens_and_says_why(page: Page) -> None:
    search(page, "a blue square")
    page.locator(".open").first.click()
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("blue-")
    expect(dialog.get_by_text("Similar images")).to_be_visible()
    expect(dialog.locator("dl")).to_contain_text("cold")
    expect(dialog.locator("pre")).to_contain_text("curl -s http://127.0.0.1")
    dialog.locator("#why").click()
    dialog.get_by_role("button", name="blue", exact=True).hover()
    expect(dialog.locator(".why")).to_contain_text("“blue” is met best")
    painted = "(canvas) => canvas.getContext('2d').getImageData(0, 0, 256, 256).data.some((value) => value > 0)"
    assert page.locator(".heat").evaluate(painted)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_what_is_equally_good_says_so(page: Page) -> None:
    search(page, "blue")
    expect(page.locator(".badge")).to_have_count(5)
    assert page.locator(f"{CARDS} meter").first.get_attribute("aria-label", timeout=1000).startswith("match with")  # type: ignore[union-attr]


def test_by_keyboard_alone(page: Page) -> None:
    search(page, "red")
    page.locator(".open").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    expect(page.get_by_label("Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_hidden()
    expect(page.locator(".open").nth(1)).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#text")).to_be_focused()


def test_a_refused_image_is_said_in_words(page: Page) -> None:
    page.expected_faults.append("422")  # type: ignore[attr-defined]
    page.goto("/")
    page.set_input_files("#image", {"name": "a.png", "mimeType": "image/png", "buffer": b"not an image"})
    expect(page.get_by_role("alert").filter(has_text="cannot be read")).to_be_visible()
    page.set_input_files("#image", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"text"})
    expect(page.get_by_role("alert").filter(has_text="a.txt is not an image")).to_be_visible()


def test_too_many_requests_are_tried_again(page: Page) -> None:
    page.expected_faults.append("429")  # type: ignore[attr-defined]
    refused = []

    def refuse_once(route: object) -> None:
        if refused:
            route.continue_()  # type: ignore[attr-defined]
            return
        refused.append(1)
        body = '{"error": {"code": "overloaded", "message": "too many requests"}}'
        route.fulfill(status=429, headers={"Retry-After": "1"}, body=body)  # type: ignore[attr-defined]

    page.route("**/search", refuse_once)
    page.goto("/?text=red")
    expect(page.get_by_role("alert").filter(has_text="Again in 1 s.")).to_be_visible()
    expect(page.locator(CARDS).first).to_be_visible()


def test_what_is_shown_stays_when_more_fails(page: Page) -> None:
    page.expected_faults.append("ERR_FAILED")  # type: ignore[attr-defined]
    search(page, "blue")
    page.route("**/search", lambda route: route.abort())
    page.mouse.wheel(0, 20_000)
    expect(page.get_by_role("alert").filter(has_text="The service does not answer.")).to_be_visible()
    expect(page.locator(CARDS)).to_have_count(24)
    page.unroute("**/search")
    page.get_by_text("Try again").click()
    expect(page.locator(CARDS)).to_have_count(30)


def test_back_closes_what_is_open(page: Page) -> None:
    page.goto("/")
    page.locator(".example").first.click()
    page.locator(".open").first.click()
    expect(page.locator("dialog")).to_be_visible()
    page.go_back()
    expect(page.locator("dialog")).to_be_hidden()


def test_a_service_that_is_gone_is_said_and_asked_again(page: Page) -> None:
    page.expected_faults.append("ERR_FAILED")  # type: ignore[attr-defined]
    page.goto("/")
    page.route("**/search", lambda route: route.abort())
    page.fill("#text", "red")
    expect(page.get_by_role("alert").filter(has_text="The service does not answer.")).to_be_visible()
    page.unroute("**/search")
    page.get_by_text("Try again").click()
    expect(page.locator(CARDS).first).to_be_visible()


def test_a_link_on_a_phone_in_the_dark(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="dark")
    page.goto("/?text=blue&target=text")
    expect(page.locator(".card.text").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 22, 26)"
    page.get_by_label("Dark or light").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 248)"


def test_status_is_plotted_and_a_version_taken(page: Page) -> None:
    page.goto("/status")
    expect(page.locator(".facts")).to_contain_text("30 images, 30 captions")
    page.get_by_text("Take the published version").click()
    expect(page.locator("#status-view [role=status]")).to_contain_text("was served already")
    expect(page.locator("polyline").first).to_have_attribute("points", re.compile(r"\d.* \d"))


@pytest.mark.parametrize("path", ["/", "/?text=blue", "/status"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(page: Page, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(path)
    page.wait_for_load_state("networkidle")
    if "text" in path:
        page.locator(".open").first.click()
        page.locator("#why").click()
        expect(page.locator(".why")).to_be_visible()
    found = Axe().run(page).response["violations"]
    serious = {each["id"]: each["nodes"][0]["html"] for each in found if each["impact"] in ("serious", "critical")}
    assert serious == {}


def test_the_page_is_small(page: Page) -> None:
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(len(response.body())) if "/items/" not in response.url else None)
    page.goto("/")
    page.wait_for_load_state("networkidle")
    assert 10_000 < sum(sizes) <= 150_000


def test_with_keys_images_are_added_and_deleted(browser: Browser, gallery: Path, tmp_path: Path) -> None:
    shutil.copytree(gallery, tmp_path / "index")
    with served(tmp_path / "index", {"AAHR_ADMIN_TOKEN": KEY, "AAHR_WATCH_S": "0"}) as (client, _):
        page = browser.new_page(base_url=str(client.base_url))
        page.goto("/?text=magenta")
        expect(page.locator("#key-field")).to_be_visible()
        page.fill("#key", KEY)
        page.get_by_text("Use it").click()
        expect(page.locator(CARDS)).to_have_count(24)
        expect(page.locator("summary", has_text="kind")).to_be_visible()
        page.get_by_text("Add images").click()
        page.set_input_files(
            "#files", {"name": "m.png", "mimeType": "image/png", "buffer": image_bytes("magenta", "PNG")}
        )
        page.fill("#caption", "a magenta square")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator(".uploads")).to_contain_text("added")
        page.keyboard.press("Escape")
        expect(page.locator(f"{CARDS} .caption").first).to_have_text("a magenta square")
        page.locator(".open").first.click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete for good?").click()
        expect(page.locator(f"{CARDS} .caption").first).not_to_have_text("a magenta square")
        page.close()
