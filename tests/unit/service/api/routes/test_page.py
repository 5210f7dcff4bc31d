"""The page: files of our own, nothing from elsewhere, and no markup made of what strangers wrote."""

import re
from importlib.resources import files

import pytest
from starlette.testclient import TestClient

SCRIPTS = sorted(path.name for path in files("service").joinpath("web").iterdir() if path.name.endswith(".js"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/status", "text/html"), ("/web/base.css", "text/css"), ("/web/results.css", "text/css")]
    + [(f"/web/{name}", "text/javascript") for name in SCRIPTS],
)
def test_files(client: TestClient, path: str, kind: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert set(re.findall(r"https?://[^\"\s]+", response.text)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_never_write_markup(client: TestClient, name: str) -> None:
    script = client.get(f"/web/{name}").text
    assert script.strip()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


def test_other_files_of_the_package_are_not_served(client: TestClient) -> None:
    for path in (
        "/web/",
        "/web/other.js",
        "/web/../settings.py",
        "/web/%2e%2e/settings.py",
        "/web/%2e%2e%2fsettings.py",
    ):
        assert client.get(path).status_code == 404


def test_documentation_needs_no_network(client: TestClient) -> None:
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith("/")
        assert client.get(link).status_code == 200


def test_every_request_can_carry_a_key_and_none_is_kept(client: TestClient) -> None:
    """It stays in the field into which it was typed."""
    scripts = {name: client.get(f"/web/{name}").text for name in SCRIPTS}
    fetching = {name: re.findall(r"\bfetch\(.*", script) for name, script in scripts.items()}
    assert {name: calls for name, calls in fetching.items() if calls} == {
        "api.js": ["fetch(path, { ...options, headers });"]
    }
    assert 'id="key"' in client.get("/").text
    stored = [line for script in scripts.values() for line in script.splitlines() if "Storage" in line]
    assert stored
    assert all('"theme"' in line for line in stored)
    assert not any("document.cookie" in script for script in scripts.values())
