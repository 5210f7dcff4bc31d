"""Images into words by any server that speaks OpenAI's chat completions and takes images: vLLM, Ollama, OpenAI."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from threading import Lock
from types import TracebackType
from typing import Self

from model.descriptions.describer import Rejected, Subject
from model.descriptions.file import Source
from model.descriptions.openai.answers import Unusable, parse_completion, text_of, usage_of
from model.descriptions.openai.background import BackgroundLoop
from model.descriptions.openai.request import chat_body, data_url
from model.descriptions.openai.sending import Sender
from model.descriptions.openai.settings import Endpoint, Patience, Picture, Sampling
from model.descriptions.openai.verdicts import Declined, NoAnswer
from model.descriptions.prompts import PROMPTS, Mode, prompt_hash
from model.descriptions.usage import Meter
from model.errors import ConfigError

_SAMPLING, _PICTURE, _PATIENCE = Sampling(), Picture(), Patience()


class OpenAIDescriber:
    """A `Describer` that asks a server; `with` closes its connections, and ends what is still being asked.

    In the mode "reference" a subject needs a caption. In "generated" the server writes one first, and a caption that
    comes with a subject is not looked at: what people wrote cannot leak into a test.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        mode: Mode,
        *,
        sampling: Sampling = _SAMPLING,
        picture: Picture = _PICTURE,
        patience: Patience = _PATIENCE,
        meter: Meter | None = None,
    ) -> None:
        self._endpoint, self._mode = endpoint, mode
        self._sampling, self._picture, self._patience = sampling, picture, patience
        self._meter = meter or Meter()
        self._failures = _Failures(endpoint, patience.failures_in_a_row)
        self._loop = BackgroundLoop()
        self._sender = Sender(endpoint, patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; whoever waits in `describe` gets CancelledError."""
        self._loop.close(self._sender.aclose())

    @property
    def source(self) -> Source:
        """The model, and the hash over the prompts, the mode, the model, the sampling and the size of the images."""
        settings = {"model": self._endpoint.model, **asdict(self._sampling), **asdict(self._picture)}
        return Source(f"openai:{self._endpoint.model}", prompt_hash(PROMPTS, self._mode, settings))

    @property
    def at_least(self) -> int:
        """The longest side that is sent, in pixels."""
        return self._picture.side

    def describe(self, subjects: Sequence[Subject]) -> list[str | Rejected]:
        """One after the other; threads are what asks for several at once.

        Raises ConfigError where no image can be described: an unknown model, a key that is refused, a server that has
        not answered for a while. Raises CancelledError where the describer is closed.
        """
        return [self._described(subject) for subject in subjects]

    def _described(self, subject: Subject) -> str | Rejected:
        until = time.monotonic() + self._patience.deadline_s
        if self._mode == "reference" and not (subject.caption and subject.caption.strip()):
            return Rejected("it has no caption to start from")
        url = data_url(subject.image, self._picture)
        try:
            caption = subject.caption if self._mode == "reference" else self._asked(PROMPTS.caption, url, until)
            return self._asked(PROMPTS.describe_with(caption or ""), url, until)
        except Unusable as error:
            return Rejected(str(error))
        except NoAnswer as error:
            return Rejected(str(error), answered=False)

    def _asked(self, text: str, url: str, until: float) -> str:
        body = chat_body(self._endpoint.model, self._sampling, PROMPTS.system, text, url)
        try:
            answer = self._loop.run(self._sender.post(body, until))
        except (NoAnswer, Declined) as error:
            self._failures.add(error)
            raise
        self._failures.end()
        completion = parse_completion(answer)
        self._meter.add(usage_of(completion))
        return text_of(completion)


class _Failures:
    """Ends the run where the server answers nothing any more: each image would be waited for in vain.

    What the server declines counts until it has answered once: later it is the image's fault.
    """

    def __init__(self, endpoint: Endpoint, limit: int) -> None:
        self._endpoint, self._limit = endpoint, limit
        self._lock = Lock()
        self._count = 0
        self._answered = False

    def add(self, error: NoAnswer | Declined) -> None:
        """Count one; raises ConfigError for the last that is allowed in a row."""
        with self._lock:
            if isinstance(error, Declined) and self._answered:
                return
            self._count += 1
            if self._count < self._limit:
                return
        raise ConfigError(
            f"{self._endpoint.shown} answered none of {self._limit} requests in a row, the last one: {error}; see that "
            f"it serves {self._endpoint.model!r} with images, and run the same command again to go on"
        )

    def end(self) -> None:
        """The server has answered."""
        with self._lock:
            self._count = 0
            self._answered = True
