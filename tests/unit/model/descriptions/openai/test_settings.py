"""Where a server is, and that its key is shown nowhere."""

from typing import Any

import pytest

from model.descriptions.openai import Endpoint, Patience, Picture, Sampling
from model.descriptions.openai.settings import chat_url
from model.errors import ConfigError

KEY = "sk-secret-0123"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1/chat/completions"),
        ("https://api.example.com/v1beta/openai", "https://api.example.com/v1beta/openai/chat/completions"),
        ("https://example.com/v1/chat/completions", "https://example.com/v1/chat/completions"),
        ("https://example.com/v1?api-version=2", "https://example.com/v1/chat/completions?api-version=2"),
    ],
)
def test_the_base_of_an_api_is_enough(given: str, url: str) -> None:
    assert chat_url(given) == url


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "", "http://", "/v1", "http://host:port"])
def test_what_is_not_a_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"--endpoint .*such as http://localhost:8000/v1"):
        chat_url(url)


def test_a_password_in_the_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="put the key into an environment variable") as caught:
        chat_url(f"http://me:{KEY}@host/v1")
    assert KEY not in str(caught.value)


def test_the_key_is_that_of_the_environment_and_shown_nowhere() -> None:
    environment = {"OPENAI_API_KEY": f" {KEY}\n", "OTHER": "sk-other"}
    endpoint = Endpoint.of("http://host?key=sk-query", "m", environment)
    assert endpoint.key is not None
    assert endpoint.key.get_secret_value() == KEY
    assert KEY not in repr(endpoint) + str(endpoint)
    assert "sk-query" not in endpoint.shown
    other = Endpoint.of("http://host", "m", environment, "OTHER")
    assert other.key is not None
    assert other.key.get_secret_value() == "sk-other"
    assert Endpoint.of("http://host", "m", {}).key is None


@pytest.mark.parametrize("key", [f"{KEY}\r\nX: y", f"{KEY} y", f"{KEY}ä"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="the API key in OPENAI_API_KEY has characters") as caught:
        Endpoint.of("http://host", "m", {"OPENAI_API_KEY": key})
    assert KEY not in str(caught.value)


def test_a_variable_that_was_named_has_to_be_there() -> None:
    with pytest.raises(ConfigError, match="MY_KEY of --key-env is not set"):
        Endpoint.of("http://host", "m", {"OPENAI_API_KEY": KEY}, "MY_KEY")
    with pytest.raises(ConfigError, match="--model is empty"):
        Endpoint.of("http://host", " ", {})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Sampling, {"temperature": -0.1}),
        (Sampling, {"temperature": float("nan")}),
        (Sampling, {"max_tokens": 0}),
        (Picture, {"side": 0}),
        (Picture, {"quality": 101}),
        (Patience, {"timeout_s": 0.0}),
        (Patience, {"timeout_s": 200.0}),
        (Patience, {"attempts": 0}),
        (Patience, {"failures_in_a_row": 0}),
        (Patience, {"first_wait_s": -1.0}),
    ],
)
def test_settings_that_cannot_work_are_refused(kind: Any, values: dict[str, float]) -> None:
    kind()
    with pytest.raises(ConfigError):
        kind(**values)
