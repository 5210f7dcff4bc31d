"""Settings: arguments before the environment before defaults."""

from pathlib import Path

import pytest

from model.errors import ConfigError
from service.settings import read_settings


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
    assert (settings.index_dir, settings.port) == (Path("/somewhere"), 9000)
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
    ],
)
def test_bad_value_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"setting {name}: "):
        read_settings(index_dir=Path("index"))


def test_missing_index_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="setting AAHR_INDEX_DIR: field required"):
        read_settings()
