"""Where the server is, how it is asked, and how long it is waited for; checked when they are made."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from model.errors import ConfigError

KEY_VARIABLE = "OPENAI_API_KEY"
_CHAT = "/chat/completions"


@dataclass(frozen=True)
class Endpoint:
    """A server, one of its models, and the key, which is shown nowhere.

    Attributes:
        url: of the chat completions themselves, see `chat_url`.
        model: as the server names it.
        key: sent as a bearer token; None: nothing is sent.
        key_variable: the environment variable that holds the key, for errors.
    """

    url: str
    model: str
    key: SecretStr | None = None
    key_variable: str = KEY_VARIABLE

    @classmethod
    def of(cls, url: str, model: str, environment: Mapping[str, str], key_variable: str | None = None) -> "Endpoint":
        """As a user names it; raises ConfigError for a URL, a model or a key that cannot be used.

        Without `key_variable` the key is that of OPENAI_API_KEY, if there is one.
        """
        if not model.strip():
            raise ConfigError("--model is empty; name one that the endpoint serves")
        variable = key_variable or KEY_VARIABLE
        key = environment.get(variable, "").strip()
        if key_variable is not None and not key:
            raise ConfigError(f"the environment variable {variable} of --key-env is not set; export the API key in it")
        # Anything else would be refused by the HTTP library, with the key in its message.
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigError(f"the API key in {variable} has characters that no header can carry; set it again")
        return cls(chat_url(url), model, SecretStr(key) if key else None, variable)

    @property
    def shown(self) -> str:
        """The URL without its query, in which some services take keys."""
        return self.url.partition("?")[0]


def chat_url(url: str) -> str:
    """Where chat requests go: a bare host gets `/v1/chat/completions`, any other base `/chat/completions`.

    Raises ConfigError for what is not an http(s) URL, and for one with a password in it.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise ConfigError("--endpoint is not a URL; such as http://localhost:8000/v1") from None
    if parsed.userinfo:
        raise ConfigError(
            "--endpoint has a user or password in it, which would be shown; put the key into an environment variable"
        )
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"--endpoint {url!r:.200} is not an http or https URL; such as http://localhost:8000/v1")
    path = parsed.path.rstrip("/")
    if not path.endswith(_CHAT):
        path = f"{path or '/v1'}{_CHAT}"
    return str(parsed.copy_with(path=path, query=parsed.query or None, fragment=None))


@dataclass(frozen=True)
class Sampling:
    """How the model picks its words; part of the prompt hash."""

    temperature: float = 0.0
    max_tokens: int = 300

    def __post_init__(self) -> None:
        """Raises ConfigError for a value that cannot work."""
        if not 0 <= self.temperature <= 2:
            raise ConfigError(f"the temperature is {self.temperature}; it lies between 0 and 2")
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}; an answer has at least one token")


@dataclass(frozen=True)
class Picture:
    """How an image is sent; part of the prompt hash. `side`: its longest side, in pixels at most."""

    side: int = 768
    quality: int = 90

    def __post_init__(self) -> None:
        """Raises ConfigError for a value that cannot work."""
        if self.side < 1 or not 1 <= self.quality <= 95:
            raise ConfigError(f"images of {self.side} pixels and quality {self.quality} cannot be sent; try 768 and 90")


@dataclass(frozen=True)
class Patience:
    """How long is waited, all in seconds.

    Attributes:
        timeout_s: for one request, from connecting to the last byte.
        deadline_s: for one image with all its requests, waits and tries.
        attempts: tries of one request.
        first_wait_s: the longest wait before the second try; it doubles with every one.
        longest_wait_s: where doubling ends; a server that names a time is waited for longer.
        failures_in_a_row: requests without an answer after which the whole run ends.
    """

    timeout_s: float = 60.0
    deadline_s: float = 180.0
    attempts: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    failures_in_a_row: int = 10

    def __post_init__(self) -> None:
        """Raises ConfigError for a value that cannot work."""
        if not 0 < self.timeout_s <= self.deadline_s:
            raise ConfigError(
                f"a request may take {self.timeout_s:g} s and an image {self.deadline_s:g} s; the first must be "
                "positive and no longer than the second"
            )
        if min(self.attempts, self.failures_in_a_row) < 1 or min(self.first_wait_s, self.longest_wait_s) < 0:
            raise ConfigError("tries and failures in a row are at least 1, and waits are not negative")
