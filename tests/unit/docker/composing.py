"""docker/compose.yaml as an engine sees it: parsed, and with the variables of an environment put in."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.conftest import PROJECT

FOLDER = PROJECT / "docker"
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")


def compose(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole file; a variable that is neither given nor has a default is a KeyError."""
    given = environment or {}

    def value(found: re.Match[str]) -> str:
        default = found[2]
        return given[found[1]] if default is None else given.get(found[1]) or default

    document: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, (FOLDER / "compose.yaml").read_text()))
    return document


def services(*profiles: str) -> dict[str, dict[str, Any]]:
    """The services that start with these profiles."""
    return {
        name: service
        for name, service in compose()["services"].items()
        if not service.get("profiles") or set(service["profiles"]) & set(profiles)
    }


def named_volumes(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The named volumes of a service, each with its place in the container."""
    for line in service.get("volumes", ()):
        source, target, *_ = line.split(":")
        if not source.startswith((".", "/")):
            yield source, target
