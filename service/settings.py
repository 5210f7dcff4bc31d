"""Settings of the service: arguments of `serve` override environment variables, which override defaults."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.errors import ConfigError
from service.obs.logging import LogFormat, LogLevel

PREFIX = "AAHR_"

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)


def _split_hosts(value: object) -> object:
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_hosts(names: frozenset[str]) -> frozenset[str]:
    cleaned = frozenset(name.strip().strip("[]").lower() for name in names)
    if not all(name == "*" or _HOST.fullmatch(name) for name in cleaned):
        raise ValueError("host names without scheme, port and path, such as search.example.org, or * alone")
    return cleaned


def _location(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


HostList = Annotated[frozenset[str], NoDecode, BeforeValidator(_split_hosts), AfterValidator(_check_hosts)]


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
    admin_token: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Bearer token for /admin/*. Without one, only clients on this machine are let in; "
        "set one behind a proxy.",
    )
    allowed_hosts: HostList = Field(
        default=frozenset(),
        description="Comma-separated host names to answer to besides localhost and the service's own address, such as "
        "the public name behind a proxy. * answers to any name and gives up the protection against DNS rebinding.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Where results are cached, such as redis://host:6379/0; default: in the process.",
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
