"""Credentials of clients as the operator writes them down; of each key, only its SHA-256 is kept."""

import hashlib
import re
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from model.errors import ConfigError

MIN_KEY_CHARACTERS = 16
ADMIN_NAME = "admin"
_MAX_FILE_BYTES = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# What a header can carry, without the comma that separates keys.
_KEY = re.compile(r"[!-+\--~]+", re.ASCII)


class KeyScope(IntEnum):
    """What a key may do; each scope includes the ones before it."""

    SEARCH = 1
    WRITE = 2
    ADMIN = 3


class ApiKey(NamedTuple):
    """`name` appears in logs and rate limits; `digest` is the SHA-256 of the key itself."""

    name: str
    scope: KeyScope
    digest: bytes


def digest_of_key(key: bytes) -> bytes:
    """SHA-256. It needs no salt and no stretching: keys are long and random, unlike passwords."""
    return hashlib.sha256(key).digest()


def admin_key(token: str) -> ApiKey:
    """The key that AAHR_ADMIN_TOKEN stands for."""
    return ApiKey(ADMIN_NAME, KeyScope.ADMIN, digest_of_key(token.encode()))


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """Keys written as NAME:SCOPE:KEY, one for each line or comma; lines that begin with # are comments.

    Raises ValueError, which says which entry is wrong and never quotes it: a part in the wrong place may be the key.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = [entry for line in lines for part in line.split(",") if (entry := part.strip())]
    keys = tuple(_parse_key(entry, number) for number, entry in enumerate(entries, 1))
    if len({key.digest for key in keys}) < len(keys):
        raise ValueError("two entries have the same key; give each client a key of its own")
    return keys


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys in a file, written as for `parse_keys`. Raises ConfigError."""
    text = read_secret(path, "AAHR_API_KEYS_FILE")
    try:
        keys = parse_keys(text)
    except ValueError as error:
        raise ConfigError(f"the file that AAHR_API_KEYS_FILE names cannot be used: {error}") from error
    if not keys:
        raise ConfigError("the file that AAHR_API_KEYS_FILE names holds no key; write a line NAME:SCOPE:KEY into it")
    return keys


def read_secret(path: Path, variable: str) -> str:
    """The text of a file with a secret, without surrounding white space. Raises ConfigError, naming the variable."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise ConfigError(f"{variable} names {path}, which has more than {_MAX_FILE_BYTES:,} bytes; is it the one?")
        return content.decode().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{variable} names {path}, which cannot be read: {reason}; correct it") from error


def _parse_key(entry: str, number: int) -> ApiKey:
    name, _, rest = entry.partition(":")
    scope, colon, key = rest.partition(":")
    problem = None
    if not colon or _NAME.fullmatch(name) is None:
        problem = "must look like NAME:SCOPE:KEY, with a name of letters, digits, dots, _ and -"
    elif scope.upper() not in KeyScope.__members__:
        problem = f"must have one of the scopes {', '.join(member.name.lower() for member in KeyScope)}"
    elif len(key) < MIN_KEY_CHARACTERS:
        problem = f"must have a key of at least {MIN_KEY_CHARACTERS} characters, such as `openssl rand -hex 32` prints"
    elif _KEY.fullmatch(key) is None:
        problem = "must have a key of visible ASCII characters"
    if problem is not None:
        raise ValueError(f"entry {number} {problem}")
    return ApiKey(name, KeyScope[scope.upper()], digest_of_key(key.encode()))
