"""What several tests of the page do."""

from playwright.sync_api import Page, expect

CARDS = "#results .card:not(.skeleton)"


def search(page: Page, text: str) -> None:
    page.goto("/")
    page.fill("#text", text)
    expect(page.locator("#status")).to_contain_text("results in")
