"""The collections of a Milvus store, by name: its versions, their items, and which version is current."""

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import ValidationError

from index.collection.milvus.connection import Connection
from index.collection.milvus.manifest import MilvusManifest, version_name
from index.items import Modality
from model.errors import ArtifactCorrupt

_MANIFEST_FIELDS = [
    {"field_name": "pk", "datatype": "VARCHAR", "max_length": 64, "is_primary": True},
    {"field_name": "manifest", "datatype": "VARCHAR", "max_length": 65_535},
    # Milvus has no collections without vectors; two is the smallest dimension.
    {"field_name": "vector", "datatype": "FLOAT_VECTOR", "dim": 2},
]
_MANIFEST_INDEXES = [{"field_name": "vector", "index_type": "FLAT", "metric_type": "IP"}]


class Catalog:
    """The collections of one store, by name: what is there, what is current, and what nothing needs any more.

    NAME                         the alias of the current version's NAME_v…
    NAME_v000003                 the manifest of a version, as its one row; none yet: the version was not finished
    NAME_g000001_image, …_text   the items of a generation, which later versions change in place
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._pattern = re.compile(re.escape(name) + r"_(?:v(?P<version>\d{6,})|g(?P<generation>\d{6,})_(?:image|text))")

    def items(self, generation: int, modality: Modality) -> str:
        """The collection with the items of one modality."""
        return f"{self._name}_g{version_name(generation)}_{modality}"

    def current(self) -> str | None:
        """The name of the current version, or None before the first."""
        target = self._connection.alias(self._name)
        if target is None:
            return None
        number = self._numbered(target, "version")
        if not number:
            raise ArtifactCorrupt(f"the Milvus alias {self._name} names {target:.80}, which is not a version; drop it")
        return version_name(number)

    def manifests(self) -> list[MilvusManifest]:
        """The manifests of all finished versions, the oldest first."""
        found = [self.read(number) for number in self._numbers("version")]
        return [manifest for manifest in found if manifest is not None]

    def read(self, number: int) -> MilvusManifest | None:
        """The manifest of a version; None where it is not there or not finished."""
        name = self._of_version(number)
        if name not in self._connection.collections() or not self._connection.is_indexed(name):
            return None
        self._connection.load(name)
        rows = self._connection.query(name, 'pk == "manifest"', ["manifest"])
        if not rows:
            return None
        try:
            return MilvusManifest.model_validate_json(rows[0]["manifest"])
        except ValidationError as error:
            raise ArtifactCorrupt(
                f"the Milvus collection {name} does not hold the manifest of a version; drop it, or rebuild the index"
            ) from error

    def next_number(self) -> int:
        """One above every number that was used: what a killed change wrote under its number stays unseen."""
        return max([*self._numbers("version"), *self._numbers("generation")], default=0) + 1

    def claim(self, number: int) -> None:
        """Take a number, before anything is written under it."""
        self._connection.create(self._of_version(number), _MANIFEST_FIELDS, _MANIFEST_INDEXES)

    def finish(self, manifest: MilvusManifest) -> None:
        """Write the manifest of a version whose rows are all there."""
        name = self._of_version(manifest.number)
        row = {"pk": "manifest", "manifest": manifest.model_dump_json(), "vector": [1.0, 0.0]}
        self._connection.insert(name, [row])
        self._connection.flush(name)

    def point(self, number: int, *, first: bool) -> None:
        """Make a version the current one, in one step."""
        self._connection.set_alias(self._name, self._of_version(number), exists=not first)

    def drop(self, number: int) -> None:
        """Drop the manifest of a version."""
        self._connection.drop(self._of_version(number))

    def sweep(self, manifests: Iterable[MilvusManifest]) -> None:
        """Drop the items of generations that none of these versions reads, and what unfinished versions left.

        The newest number stays claimed even so: rows may have been written under it, and it is never used again.
        """
        kept = list(manifests)
        generations = {manifest.generation for manifest in kept}
        for collection in self._connection.collections():
            generation = self._numbered(collection, "generation")
            if generation and generation not in generations:
                self._connection.drop(collection)
        finished = {manifest.number for manifest in kept}
        for number in self._numbers("version")[:-1]:
            if number not in finished:
                self.drop(number)

    def _of_version(self, number: int) -> str:
        return f"{self._name}_v{version_name(number)}"

    def _numbers(self, part: Literal["version", "generation"]) -> list[int]:
        found = {self._numbered(collection, part) for collection in self._connection.collections()}
        return sorted(found - {0})

    def _numbered(self, collection: str, part: Literal["version", "generation"]) -> int:
        match = self._pattern.fullmatch(collection)
        return int(match[part] or 0) if match else 0
