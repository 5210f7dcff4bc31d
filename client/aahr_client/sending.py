"""When a call is sent again, and how an answer becomes an error."""

from typing import Any

import httpx
from tenacity import RetryCallState, retry_if_exception, stop_after_attempt

from aahr_client.calls import Call
from aahr_client.errors import AahrError, error_of

_LONGEST_WAIT_S = 30.0
_FIRST_WAIT_S = 0.2
# The service has not done what was asked, and may do it later.
_TURNED_AWAY = frozenset({429, 503})


def policy(retries: int, call: Call[Any]) -> dict[str, Any]:
    """How tenacity repeats a call: after an answer that turns it away, and after a lost connection if that is safe."""

    def again(error: BaseException) -> bool:
        if isinstance(error, AahrError):
            return error.status in _TURNED_AWAY
        return call.repeatable and isinstance(error, httpx.TransportError)

    return {
        "retry": retry_if_exception(again),
        "stop": stop_after_attempt(retries + 1),
        "wait": _wait_s,
        "reraise": True,
    }


def headers_of(api_key: str | None) -> dict[str, str]:
    """What every request carries."""
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}


def checked(response: httpx.Response) -> httpx.Response:
    """The response; raises AahrError for a status of 400 or more."""
    if response.status_code >= 400:
        raise error_of(response)
    return response


def _wait_s(state: RetryCallState) -> float:
    """As long as the service asks for, at least twice as long as before, at most 30 seconds."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.retry_after_s if isinstance(error, AahrError) else 0.0
    doubled_s: float = _FIRST_WAIT_S * 2 ** (state.attempt_number - 1)
    return min(max(asked_s, doubled_s), _LONGEST_WAIT_S)
