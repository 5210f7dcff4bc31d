"""From the location of an index, as users write it, to the store that keeps it."""

from pathlib import Path

from index.changes import AnnOptions
from index.collection.local import LocalStore
from index.collection.milvus.location import is_milvus_location, parse_location
from index.collection.store import Store


def is_local(location: str | Path) -> bool:
    """Whether a location is a directory of this machine."""
    return isinstance(location, Path) or not is_milvus_location(location)


def open_store(location: str | Path, options: AnnOptions | None = None, *, normalise: bool = True) -> Store:
    """The store at a directory, or at `milvus:http://HOST:19530/NAME`.

    `options` are those of the nearest-neighbour index of a directory; of them, Milvus takes the kind, flat or hnsw.
    `normalise`: see `LocalStore`; Milvus ranks by the cosine alone.
    Raises ConfigError for a location that cannot be read, and ArtifactError for a server that does not answer.
    """
    if is_local(location):
        return LocalStore(Path(location), options, normalise=normalise)
    from index.collection.milvus.store import MilvusStore  # pymilvus is an extra

    kind = (options or {}).get("kind")
    return MilvusStore(parse_location(str(location)), "FLAT" if kind is None else str(kind).upper())
