"""What a status means, and how long a server wants to be left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from model.descriptions.openai import Endpoint
from model.descriptions.openai.verdicts import Declined, NoAnswer, raise_for, seconds_of
from model.errors import ConfigError
from tests.chat_server import refusal

ENDPOINT = Endpoint("http://host/v1/chat/completions?key=hidden", "llava")


def verdict(status: int, code: str | None = None, endpoint: Endpoint = ENDPOINT) -> Exception:
    with pytest.raises((NoAnswer, Declined, ConfigError), match=f"{status}: because") as caught:
        raise_for(status, "7", refusal(status, "because", code=code).body, endpoint)
    assert "hidden" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_what_passes_is_tried_again_after_the_time_that_the_server_names(status: int) -> None:
    error = verdict(status)
    assert isinstance(error, NoAnswer)
    assert error.wait_s == 7.0


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_is_wrong_with_one_image_ends_no_run(status: int) -> None:
    assert isinstance(verdict(status), Declined)


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (
            404,
            None,
            r"http://host/v1/chat/completions does not serve the model 'llava' .*check --endpoint, and --model",
        ),
        (405, None, "does not serve the model 'llava'"),
        (307, None, "does not serve the model 'llava'"),
        (400, "model_not_found", "does not serve the model 'llava'"),
        (401, None, "refuses access .*: no key was sent; export one in OPENAI_API_KEY"),
        (403, None, "refuses access"),
        (429, "insufficient_quota", "has no budget left"),
    ],
)
def test_what_is_wrong_with_all_ends_the_run_with_the_remedy(status: int, code: str | None, remedy: str) -> None:
    error = verdict(status, code)
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=remedy):
        raise error


def test_a_key_that_is_refused_is_not_a_key_that_is_missing() -> None:
    error = verdict(401, endpoint=Endpoint(ENDPOINT.url, "llava", SecretStr("sk-x"), "MY_KEY"))
    assert str(error).endswith("put a valid key for the model 'llava' into MY_KEY")


def test_retry_after_is_seconds_or_a_date_or_nothing() -> None:
    now = datetime.now(UTC)
    assert seconds_of("7") == 7.0
    assert 50 < seconds_of(format_datetime(now + timedelta(seconds=60), usegmt=True)) <= 60
    assert seconds_of(format_datetime(now - timedelta(days=1), usegmt=True)) == 0.0
    assert [seconds_of(text) for text in (None, "", "soon", "-5", "nan", "inf", "1e400")] == [0.0] * 7
