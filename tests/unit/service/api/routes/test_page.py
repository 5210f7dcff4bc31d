"""The search form: three files of our own, and nothing from elsewhere."""

import re

import pytest
from starlette.testclient import TestClient


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/web/search.js", "text/javascript"), ("/web/search.css", "text/css")],
)
def test_files(client: TestClient, path: str, kind: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert not re.search(r"https?://", response.text)


def test_script_never_writes_markup(client: TestClient) -> None:
    script = client.get("/web/search.js").text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


def test_other_files_of_the_package_are_not_served(client: TestClient) -> None:
    for path in ("/web/", "/web/other.js", "/web/../settings.py", "/web/%2e%2e/settings.py"):
        assert client.get(path).status_code == 404


def test_documentation_needs_no_network(client: TestClient) -> None:
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith("/")
        assert client.get(link).status_code == 200


def test_every_request_of_the_script_can_carry_a_key(client: TestClient) -> None:
    """And no key is kept: it stays in the field into which it was typed."""
    script = client.get("/web/search.js").text
    assert re.findall(r"\bfetch\(.*", script) == ["fetch(path, { ...options, headers });"]
    assert 'id="key"' in client.get("/").text
    assert not re.search(r"localStorage|sessionStorage|document\.cookie", script)
