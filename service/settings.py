"""Settings of the service: arguments of `serve` override environment variables, which override defaults."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.errors import ConfigError
from model.preprocess import FORMATS
from service.credentials import ApiKey, admin_key, parse_keys, read_keys, read_secret
from service.obs.logging import LogFormat, LogLevel

PREFIX = "AAHR_"

_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", re.ASCII)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)


def _split(value: object) -> object:
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_hosts(names: frozenset[str]) -> frozenset[str]:
    cleaned = frozenset(name.strip().strip("[]").lower() for name in names)
    if not all(name == "*" or _HOST.fullmatch(name) for name in cleaned):
        raise ValueError("host names without scheme, port and path, such as search.example.org, or * alone")
    return cleaned


def _check_origins(names: frozenset[str]) -> frozenset[str]:
    cleaned = frozenset(name.strip().lower() for name in names)
    if not all(_ORIGIN.fullmatch(name) for name in cleaned):
        raise ValueError("origins with scheme and host and without a path, such as https://app.example.org")
    return cleaned


def _check_formats(names: frozenset[str]) -> frozenset[str]:
    cleaned = frozenset("JPEG" if name.strip().upper() == "JPG" else name.strip().upper() for name in names)
    if not cleaned or not cleaned <= set(FORMATS):
        raise ValueError(f"one or more of {', '.join(FORMATS)}")
    return cleaned


def _check_ports(ports: frozenset[int]) -> frozenset[int]:
    if not ports or not all(0 < port < 65536 for port in ports):
        raise ValueError("ports from 1 to 65535")
    return ports


def _parse_keys(value: object) -> object:
    return parse_keys(value) if isinstance(value, str) else value


def _parse_token(value: object) -> object:
    return admin_key(value) if isinstance(value, str) else value


def _check_rates(value: str) -> str:
    try:
        parse_many(value)
    except ValueError as error:
        raise ValueError("limits such as 100/second, or 6000/minute;100000/day") from error
    return value


def _location(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


Keys = Annotated[tuple[ApiKey, ...], NoDecode, BeforeValidator(_parse_keys)]
Token = Annotated[ApiKey | None, NoDecode, BeforeValidator(_parse_token)]
FormatList = Annotated[frozenset[str], NoDecode, BeforeValidator(_split), AfterValidator(_check_formats)]
OriginList = Annotated[frozenset[str], NoDecode, BeforeValidator(_split), AfterValidator(_check_origins)]
PortList = Annotated[frozenset[int], NoDecode, BeforeValidator(_split), AfterValidator(_check_ports)]
Rates = Annotated[str, AfterValidator(_check_rates)]
HostList = Annotated[frozenset[str], NoDecode, BeforeValidator(_split), AfterValidator(_check_hosts)]


class Settings(BaseSettings):
    """Read once, at start. Environment variables have the prefix AAHR_, except the conventional REDIS_URL."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, populate_by_name=True, extra="forbid", frozen=True
    )

    index_dir: Annotated[str, BeforeValidator(_location)] = Field(
        min_length=1,
        description="Index directory, as `aahr index rebuild` writes it, or milvus:http://HOST:19530/NAME.",
    )
    model_dir: Path | None = Field(default=None, description="Model artifact; default: the one recorded in the index.")
    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 is every address of the machine."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes any free port.")
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that serve, each with its own model and in-process cache; the index is mapped once for "
        "all. More than one pays where requests, not the model, keep a core busy.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads of each process that decode, encode and search; default: the usable cores, shared among "
        "the workers.",
    )
    max_batch: int = Field(default=16, ge=1, le=1024, description="Most texts that are encoded in one call.")
    max_wait_ms: float = Field(
        default=2.0,
        ge=0,
        le=1000,
        description="How long a query may wait for others to join its batch, in milliseconds; never where nothing else "
        "is being worked on.",
    )
    max_queue: int = Field(
        default=512, ge=1, le=100_000, description="Queries of one kind that may wait; more get a 429 with Retry-After."
    )
    watch_s: float = Field(
        default=2.0,
        ge=0,
        le=86_400,
        description="How often to look for a newly published version of the index, in seconds; 0 looks never.",
    )
    max_body_bytes: int = Field(
        default=20_000_000, ge=1024, description="Largest accepted request body in bytes; more gets a 413."
    )
    request_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="How long a request may take in seconds, sending its body included; then it gets a 408 or a 503.",
    )
    max_concurrency: int = Field(
        default=512, ge=1, le=100_000, description="Most requests in progress at once; more get a 429 with Retry-After."
    )
    image_formats: FormatList = Field(
        default=frozenset(FORMATS), description="Comma-separated formats in which images are accepted."
    )
    api_keys: Keys = Field(
        default=(),
        repr=False,
        exclude=True,
        description="API keys, separated by commas or line breaks, each as NAME:SCOPE:KEY with the scope search, write "
        "or admin and a KEY of at least 16 characters. Without any, only clients on this machine may change things.",
    )
    api_keys_file: Path | None = Field(
        default=None, description="File with one such key a line, as container secrets are; # begins a comment."
    )
    admin_token: Token = Field(
        default=None,
        repr=False,
        exclude=True,
        description="A key named admin with the scope admin; kept for deployments from before AAHR_API_KEYS.",
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Whether clients without a key may search where there are keys, or where other machines can reach "
        "the service.",
    )
    rate_limit: Rates | None = Field(
        default=None,
        description="Most requests of each key, or of each address without one, such as 100/second or "
        "6000/minute;100000/day; more get a 429 with Retry-After. Counted in Redis where REDIS_URL is set.",
    )
    allowed_hosts: HostList = Field(
        default=frozenset(),
        description="Comma-separated host names to answer to besides localhost and the service's own address, such as "
        "the public name behind a proxy. * answers to any name and gives up the protection against DNS rebinding.",
    )
    allowed_origins: OriginList = Field(
        default=frozenset(),
        description="Comma-separated origins, such as https://app.example.org, whose pages may use the service from a "
        "browser.",
    )
    fetch_urls: bool = Field(
        default=False, description="Whether images are fetched from the public URLs that requests name."
    )
    fetch_ports: PortList = Field(
        default=frozenset({80, 443}), description="Comma-separated ports from which images may be fetched."
    )
    describe_url: str | None = Field(
        default=None,
        description="OpenAI-compatible server, such as http://localhost:8000/v1, that describes images for a model "
        "that was trained on its descriptions; its key is in OPENAI_API_KEY. Default: images are searched undescribed.",
    )
    describe_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=600,
        description="How long that server may take for an image in seconds; then the search goes on without.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Where results are cached, such as redis://host:6379/0; default: in the process.",
    )
    redis_url_file: Path | None = Field(
        default=None,
        validation_alias="REDIS_URL_FILE",
        description="File that holds REDIS_URL, as container secrets are.",
    )
    cache_ttl_s: int = Field(default=3600, ge=1, description="How many seconds a cached result is kept.")
    cache_bytes: int = Field(
        default=64_000_000,
        ge=0,
        description="Maximum size of the in-process cache in bytes; 0 keeps nothing in the process.",
    )
    log_format: LogFormat = Field(
        default="text", description="How the log is written: text, or json with one object a line."
    )
    log_level: LogLevel = Field(
        default="info", description="The least level of the service's log lines: debug, info, warning or error."
    )
    access_log: bool | None = Field(
        default=None, description="Whether every request is logged, at info; default: where the format is json."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Where traces are sent, such as http://collector:4318 (OTLP over HTTP); default: nowhere.",
    )
    otlp_protocol: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL",
        description="http/protobuf, the one protocol of traces that is spoken.",
    )

    @property
    def logs_access(self) -> bool:
        """Whether every request is logged."""
        return self.log_format == "json" if self.access_log is None else self.access_log

    @model_validator(mode="before")
    @classmethod
    def _read_redis_url(cls, given: dict[str, Any]) -> dict[str, Any]:
        path = given.get("REDIS_URL_FILE", given.get("redis_url_file"))
        if path is None:
            return given
        if given.get("REDIS_URL", given.get("redis_url")) is not None:
            raise ConfigError("REDIS_URL and REDIS_URL_FILE are both set; unset one of them")
        return {**given, "REDIS_URL": read_secret(Path(path), "REDIS_URL_FILE")}

    def all_api_keys(self) -> tuple[ApiKey, ...]:
        """The keys of all settings; raises ConfigError where the file cannot be used."""
        from_file = () if self.api_keys_file is None else read_keys(self.api_keys_file)
        from_token = () if self.admin_token is None else (self.admin_token,)
        return (*self.api_keys, *from_file, *from_token)


def variable_of(field: str) -> str:
    """The environment variable of a field of Settings."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


def read_settings(**given: Any) -> Settings:
    """Settings from the arguments that are not None, then the environment.

    Raises ConfigError, which names the first setting that is missing, unknown or invalid.
    """
    _refuse_unknown(os.environ)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        name = str(problem["loc"][0])
        variable = variable_of(name) if name in Settings.model_fields else name
        # The value stays out of the message: it may be a token, or a URL with a password.
        raise ConfigError(f"setting {variable}: {problem['msg'].lower()}; set it or correct it") from error


def _refuse_unknown(names: Iterable[str]) -> None:
    """A typo must not leave a setting, such as the admin token, at its default."""
    known = {variable.removeprefix(PREFIX): variable for variable in map(variable_of, Settings.model_fields)}
    for name in sorted(names):
        bare = name.upper().removeprefix(PREFIX)
        if bare == name.upper() or PREFIX + bare in known.values():
            continue
        nearest = difflib.get_close_matches(bare, known, n=1)
        meant = f"did you mean {known[nearest[0]]}?" if nearest else f"the settings are {', '.join(known.values())}"
        raise ConfigError(f"the environment variable {name:.80} is not a setting of the service; {meant}")
