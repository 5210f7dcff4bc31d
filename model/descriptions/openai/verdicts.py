"""What a status other than success means: for this image, for the next try, or for the whole run."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

from model.descriptions.openai.answers import Unusable, error_of
from model.descriptions.openai.settings import Endpoint
from model.errors import ConfigError

_AGAIN = frozenset({408, 425, 429})
# Codes of a 400 or a 429 that no other image and no waiting changes.
_UNKNOWN_MODEL = frozenset({"model_not_found", "invalid_model"})
_NO_BUDGET = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class NoAnswer(Exception):
    """A try without an answer, which may have one the next time; its text is the reason.

    Attributes:
        wait_s: how long the server wants to be left alone, in seconds.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Declined(Unusable):
    """The server refuses this request, and would again."""


def raise_for(status: int, retry_after: str | None, body: bytes, endpoint: Endpoint) -> NoReturn:
    """Raise NoAnswer, Declined, or ConfigError where every other image would fare the same.

    `body`: of the answer, without the key.
    """
    code, message = error_of(body)
    said = f"{status}: {message}" if message else str(status)
    if code in _NO_BUDGET:
        raise ConfigError(f"{endpoint.shown} has no budget left for this key ({said}); see to the account")
    if status in _AGAIN or status >= 500:
        raise NoAnswer(f"the server answers {said}", seconds_of(retry_after))
    if status in (401, 403):
        remedy = (
            f"no key was sent; export one in {endpoint.key_variable}, or name another variable with --key-env"
            if endpoint.key is None
            else f"put a valid key for the model {endpoint.model!r} into {endpoint.key_variable}"
        )
        raise ConfigError(f"{endpoint.shown} refuses access ({said}): {remedy}")
    if status in (404, 405) or status < 400 or code in _UNKNOWN_MODEL:
        raise ConfigError(
            f"{endpoint.shown} does not serve the model {endpoint.model!r} as OpenAI's chat completions ({said}); "
            "check --endpoint, and --model against what its /v1/models lists"
        )
    raise Declined(f"the server declines the request ({said})")


def seconds_of(retry_after: str | None) -> float:
    """The header Retry-After, a number of seconds or a date, in seconds from now; 0 without one."""
    if retry_after is None:
        return 0.0
    try:
        return max(0.0, float(retry_after)) if retry_after.strip().isdigit() else _until(retry_after)
    except (ValueError, OverflowError):
        return 0.0


def _until(date: str) -> float:
    moment = parsedate_to_datetime(date)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
