"""Where a Milvus store is: the address of a cluster, or a file of Milvus Lite, and the name of the store in it."""

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from model.errors import ConfigError

SCHEME = "milvus:"
TOKEN_VARIABLE = "MILVUS_TOKEN"
DEFAULT_NAME = "aahr"

_EXAMPLES = "write milvus:http://HOST:19530/NAME for a server, or milvus:PATH.db for a file of Milvus Lite"
_DEFAULT_PORT = 19530
# Names of collections are at most 255 characters, and those of a store are its own with a suffix.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_OWN_SUFFIX = re.compile(r"_(v\d{6,}|g\d{6,}_(image|text)|writer)$")


@dataclass(frozen=True, slots=True)
class Location:
    """`uri` is what pymilvus connects to, a path for Milvus Lite; `database` is "" for the default one."""

    uri: str
    name: str
    database: str = ""

    @property
    def lite(self) -> bool:
        """Whether this is a file of Milvus Lite, which one process at a time can open."""
        return self.uri.endswith(".db")

    def __str__(self) -> str:
        """The location as `parse_location` reads it; it never holds credentials."""
        parts = [self.uri, self.database, self.name]
        return SCHEME + ("#" if self.lite else "/").join(part for part in parts if part)


def is_milvus_location(text: str) -> bool:
    """Whether a location is one of Milvus and not a directory."""
    return text.startswith(SCHEME) or text.endswith(".db")


def parse_location(text: str) -> Location:
    """Read `milvus:http://host:19530/NAME`, `milvus:https://host/DATABASE/NAME` or `milvus:PATH.db#NAME`.

    `milvus:` may be left out before a file, and `#NAME` after it. Raises ConfigError that never quotes credentials.
    """
    address = text.removeprefix(SCHEME)
    if re.match(r"(?i)https?://", address):
        return _parse_url(address)
    path, _, name = address.partition("#")
    if not path.endswith(".db") or "://" in path:
        raise ConfigError(f"{_without_credentials(text)!r} is not the location of a Milvus store; {_EXAMPLES}")
    return Location(os.path.abspath(os.path.expanduser(path)), _checked_name(name or DEFAULT_NAME))


def _parse_url(address: str) -> Location:
    shown = _without_credentials(address)
    try:
        url = urlsplit(address)
        host, port = url.hostname, url.port or _DEFAULT_PORT
    except ValueError as error:
        raise ConfigError(f"{shown!r} has no valid host and port; {_EXAMPLES}") from error
    if url.username is not None or url.password is not None:
        raise ConfigError(f"{shown!r} was given with credentials; take them out and set {TOKEN_VARIABLE} instead")
    *database, name = [part for part in url.path.split("/") if part] or [""]
    if not host or not name or len(database) > 1 or url.query or url.fragment:
        raise ConfigError(f"{shown!r} is not an address with the name of a store; {_EXAMPLES}")
    literal = f"[{host}]" if ":" in host else host
    return Location(f"{url.scheme}://{literal}:{port}", _checked_name(name), *map(_checked_name, database))


def _without_credentials(text: str) -> str:
    return re.sub(r"//[^/]*@", "//", text)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r:.80} is not a name in Milvus; use up to 200 letters, digits and underscores")
    if _OWN_SUFFIX.search(name):
        raise ConfigError(f"{name!r:.80} ends as the parts of a store do; choose another name")
    return name
