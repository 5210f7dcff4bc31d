"""Clients of a running service that ask without a pause, and what each of their requests came to."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Outcome(NamedTuple):
    """One request: when it was sent and how long it took in seconds, whether it was right, whether from the cache."""

    sent: float
    seconds: float
    right: bool
    cached: bool


@dataclass
class Load:
    """The outcomes so far; those of a period are its own."""

    outcomes: list[Outcome] = field(default_factory=list)

    def since(self, began: float) -> list[Outcome]:
        """The requests that were sent at or after this moment of `time.monotonic`."""
        return [outcome for outcome in self.outcomes if outcome.sent >= began]


def percentile_ms(outcomes: Sequence[Outcome], share: float) -> float:
    """The time in milliseconds within which this share of the requests was answered."""
    times = sorted(outcome.seconds for outcome in outcomes)
    return 1000 * times[min(len(times) - 1, int(share * len(times)))]


@contextmanager
def load(url: str, bodies: Sequence[bytes], clients: int, is_right: Callable[[bytes, Any], bool]) -> Iterator[Load]:
    """So many clients post these bodies to /search, one after another, until the block ends.

    `is_right` is given the body and the answer to it.
    """
    running, done = Load(), threading.Event()
    numbers = itertools.count()

    def ask_on() -> None:
        connection = http.client.HTTPConnection(str(urlsplit(url).hostname), urlsplit(url).port, timeout=30)
        while not done.is_set():
            running.outcomes.append(_ask(connection, bodies[next(numbers) % len(bodies)], is_right))
        connection.close()

    threads = [threading.Thread(target=ask_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _ask(connection: http.client.HTTPConnection, body: bytes, is_right: Callable[[bytes, Any], bool]) -> Outcome:
    sent = time.monotonic()
    try:
        connection.request("POST", "/search", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return Outcome(sent, time.monotonic() - sent, False, False)
    seconds = time.monotonic() - sent
    if response.status != 200:
        return Outcome(sent, seconds, False, False)
    answer = json.loads(content)
    return Outcome(sent, seconds, is_right(body, answer), answer["cached"])
