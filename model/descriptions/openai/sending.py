"""One request, sent until it is answered: back-off with jitter, Retry-After, bounds on time and size."""

import asyncio
from typing import Any

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from model.descriptions.openai.answers import Unusable
from model.descriptions.openai.settings import Endpoint, Patience
from model.descriptions.openai.verdicts import NoAnswer, raise_for

MAX_ANSWER_BYTES = 2**20


class Sender:
    """Posts bodies to the chat endpoint; all its coroutines run on one loop."""

    def __init__(self, endpoint: Endpoint, patience: Patience) -> None:
        self._endpoint = endpoint
        self._patience = patience
        self._key = endpoint.key.get_secret_value() if endpoint.key is not None else ""
        # Compressed answers are not asked for: a few bytes could unfold to any size.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # Times are kept by `asyncio.timeout`, and the number of requests by the threads that call.
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(headers=headers, timeout=None, limits=limits)

    async def post(self, body: bytes, until: float) -> bytes:
        """The answer to `body`, at the latest at `until` on the clock of `time.monotonic`.

        Raises NoAnswer once there are no tries or no time left, Unusable for an answer that another try would not
        change, and ConfigError where no image would get one.
        """
        left_s = until - asyncio.get_running_loop().time()
        tries: list[str] = []
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(NoAnswer),
            stop=stop_after_attempt(self._patience.attempts) | stop_before_delay(left_s),
            wait=self._wait_s,
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            async with asyncio.timeout_at(until):
                answer: bytes = await retrying(self._try, body, tries)
                return answer
        except TimeoutError:
            last = f"; before that, {tries[-1]}" if tries else ""
            raise NoAnswer(f"no answer within {self._patience.deadline_s:g} s{last}") from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _try(self, body: bytes, tries: list[str]) -> bytes:
        """One try; the reason for a failure is added to `tries`."""
        try:
            return await self._once(body)
        except NoAnswer as error:
            tries.append(str(error))
            raise

    async def _once(self, body: bytes) -> bytes:
        try:
            async with (
                asyncio.timeout(self._patience.timeout_s),
                self._http.stream("POST", self._endpoint.url, content=body) as response,
            ):
                answer = self._without_key(await _read(response))
        except TimeoutError:
            raise NoAnswer(f"no answer within {self._patience.timeout_s:g} s") from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise NoAnswer(f"the connection to {self._endpoint.shown} failed: {reason}") from error
        if response.status_code != httpx.codes.OK:
            raise_for(response.status_code, response.headers.get("Retry-After"), answer, self._endpoint)
        return answer

    def _without_key(self, answer: bytes) -> bytes:
        """Some servers repeat the key that they refuse, and what they say is shown and written."""
        return answer.replace(self._key.encode(), b"***") if self._key else answer

    def _wait_s(self, state: RetryCallState) -> float:
        """Random, up to a bound that doubles with each try; at least as long as the server asks for."""
        backoff = wait_random_exponential(multiplier=self._patience.first_wait_s, max=self._patience.longest_wait_s)
        error: Any = state.outcome.exception() if state.outcome is not None else None
        return max(backoff(state), error.wait_s if isinstance(error, NoAnswer) else 0.0)


async def _read(response: httpx.Response) -> bytes:
    """The body as it was sent; raises Unusable for one that is too large."""
    chunks, size = [], 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise Unusable(f"the answer has more than {MAX_ANSWER_BYTES:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
