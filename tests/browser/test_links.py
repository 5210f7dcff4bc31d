"""What leads back to a query or an item: addresses, command lines, and the versions of the index."""

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, expect

from index.rebuild_progress import Counted, RebuildProgress
from tests.browser.steps import CARDS, search
from tests.galleries import image_bytes


def test_what_is_mixed_in_has_a_weight_and_a_name_in_every_link(page: Page) -> None:
    search(page, "orange")
    page.locator(CARDS, has_text="yellow").get_by_text("More like this").first.click()
    page.get_by_label("Weight of a yellow square").fill("-2")
    page.get_by_label("Weight of a yellow square").press("Enter")
    expect(page.locator(".chip.far")).to_have_text(re.compile("not a yellow square"))
    expect(page).to_have_url(re.compile(r"mix=-2%3A"))
    expect(page.locator(CARDS, has_text="yellow")).to_have_count(0)
    page.goto(page.url)
    expect(page.locator(".chip.far")).to_have_text(re.compile("not a yellow square"))


def test_a_link_leads_to_the_item_that_is_open(page: Page) -> None:
    search(page, "a blue square")
    page.locator(".open").first.click()
    expect(page).to_have_url(re.compile("open="))
    link = page.url
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("open="))
    page.goto(link)
    expect(page.locator("dialog")).to_contain_text("blue-")
    expect(page.locator(CARDS).first).to_be_attached()


def test_the_curl_line_is_the_query_that_was_asked(page: Page) -> None:
    search(page, "it's orange")
    page.locator("summary", has_text="kind").click()
    page.get_by_label("warm").check()
    page.locator(CARDS, has_text="red").get_by_text("More like this").first.click()
    expect(page.locator(".chip.near")).to_have_count(1)
    page.locator(".open").first.click()
    line = page.locator("dialog pre")
    expect(line).to_contain_text('"mix":')
    answer = json.loads(subprocess.run(line.inner_text(), shell=True, capture_output=True, check=True).stdout)
    shown = page.locator(f"{CARDS} .caption").all_inner_texts()
    assert [hit["caption"] for hit in answer["results"]] == shown[:3]


def test_the_curl_line_of_an_image_sends_the_file(page: Page, tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(image_bytes("green", "PNG"))
    page.goto("/")
    page.set_input_files("#image", tmp_path / "a b.png")
    page.locator(".open").first.click()
    line = page.locator("dialog pre")
    expect(line).to_contain_text("image=@a b.png")
    found = subprocess.run(line.inner_text(), shell=True, capture_output=True, check=True, cwd=tmp_path)
    assert json.loads(found.stdout)["results"][0]["caption"] == "a green square"


def test_versions_are_listed_and_a_rebuild_is_followed(page: Page, gallery: Path) -> None:
    now = datetime.now(UTC)
    images = {"images": Counted(done=10, total=30)}
    state = RebuildProgress(stage="embedding", started_at=now, updated_at=now, items=images)
    file = gallery / ".rebuild.progress.json"
    file.write_text(state.model_dump_json())
    try:
        page.goto("/status")
        expect(page.locator(".versions tbody tr")).to_have_text(re.compile("000001.*rebuild.*30.*30.*served"))
        expect(page.locator(".rebuild")).to_contain_text("images 10 of 30")
        expect(page.get_by_label("images embedded")).to_have_attribute("value", "10")
    finally:
        file.unlink()
    expect(page.locator(".rebuild")).to_be_empty()
