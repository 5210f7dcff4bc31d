"""Settings: arguments before the environment before defaults."""

import re
from pathlib import Path

import pytest

from model.errors import ConfigError
from service.settings import Settings, read_settings, variable_of
from service.settings_page import settings_page
from tests.conftest import PROJECT


def test_defaults() -> None:
    settings = read_settings(index_dir=Path("index"))
    assert (settings.host, settings.port, settings.model_dir) == ("127.0.0.1", 8000, None)
    assert (settings.max_body_bytes, settings.redis_url, settings.admin_token) == (20_000_000, None, None)


def test_environment_is_read_when_settings_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAHR_INDEX_DIR", "/somewhere")
    monkeypatch.setenv("AAHR_PORT", "9000")
    monkeypatch.setenv("AAHR_ADMIN_TOKEN", "hidden")
    monkeypatch.setenv("REDIS_URL", "redis://:hidden@cache/0")
    settings = read_settings(index_dir=None, port=None)
    assert (settings.index_dir, settings.port) == ("/somewhere", 9000)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:hidden@cache/0"
    assert "hidden" not in repr(settings)


def test_arguments_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAHR_PORT", "9000")
    assert read_settings(index_dir=Path("index"), port=9001).port == 9001


def test_empty_variables_are_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("AAHR_ADMIN_TOKEN", "")
    settings = read_settings(index_dir=Path("index"))
    assert (settings.redis_url, settings.admin_token) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("AAHR_ALLOWED_HOSTS", value) for value in ("https://a.example", "a.example:80", "a b", "*.a.example")),
        ("AAHR_PORT", "70000"),
        ("AAHR_PORT", "http"),
        ("AAHR_WORKERS", "0"),
        ("AAHR_MAX_BODY_BYTES", "-1"),
        ("AAHR_LOG_FORMAT", "xml"),
        ("AAHR_LOG_LEVEL", "loud"),
        ("AAHR_ACCESS_LOG", "perhaps"),
    ],
)
def test_bad_value_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"setting {name}: "):
        read_settings(index_dir=Path("index"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AAHR_ADMIN_TOKE", "did you mean AAHR_ADMIN_TOKEN?"),
        ("AAHR_ADMINTOKEN", "did you mean AAHR_ADMIN_TOKEN?"),
        ("AAHR_INDEX", "did you mean AAHR_INDEX_DIR?"),
        ("aahr_worker", "did you mean AAHR_WORKERS?"),
        ("AAHR_REDIS_URL", "did you mean REDIS_URL?"),
        ("AAHR_", "the settings are AAHR_INDEX_DIR, "),
        ("AAHR_QQQQQQQQQQ", "the settings are AAHR_INDEX_DIR, "),
    ],
)
def test_unknown_variable_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.setenv(name, "secret")
    with pytest.raises(ConfigError, match=f"the environment variable {name} is not a setting") as caught:
        read_settings(index_dir=Path("index"))
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


def test_names_of_others_and_lower_case_are_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_AAHR_PORT", "1")
    monkeypatch.setenv("AAHRPORT", "1")
    monkeypatch.setenv("aahr_port", "9000")
    assert read_settings(index_dir=Path("index")).port == 9000


def test_workers_are_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert read_settings(index_dir=Path("index")).workers == 1


@pytest.mark.parametrize(
    ("log_format", "access_log", "logged"),
    [("text", "", False), ("json", "", True), ("text", "on", True), ("json", "off", False)],
)
def test_access_is_logged_in_json_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, log_format: str, access_log: str, logged: bool
) -> None:
    monkeypatch.setenv("AAHR_LOG_FORMAT", log_format)
    monkeypatch.setenv("AAHR_ACCESS_LOG", access_log)
    assert read_settings(index_dir="index").logs_access is logged


def test_the_page_of_settings_is_current() -> None:
    assert (PROJECT / "docs" / "settings.md").read_text() == settings_page(), (
        "write it anew: python -m service.settings_page > docs/settings.md"
    )


def test_the_page_has_a_row_for_every_setting() -> None:
    rows = [line for line in settings_page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [variable_of(field) for field in Settings.model_fields]
    assert "| `AAHR_INDEX_DIR` | required | " in settings_page()
    assert "| `AAHR_IMAGE_FORMATS` | `BMP,GIF,JPEG,PNG,TIFF,WEBP` | " in settings_page()
    assert "| `AAHR_ALLOW_ANONYMOUS` | `False` | " in settings_page()
    assert "| `AAHR_API_KEYS` |  | " in settings_page()


@pytest.mark.parametrize("page", ["README.md", "docs/containers.md", "docs/installing.md", "docker/compose.yaml"])
def test_no_text_names_a_setting_that_is_gone(page: str) -> None:
    named = set(re.findall(r"\bAAHR_[A-Z_]+", (PROJECT / page).read_text()))
    assert named <= {variable_of(field) for field in Settings.model_fields}


def test_missing_index_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="setting AAHR_INDEX_DIR: field required"):
        read_settings()
