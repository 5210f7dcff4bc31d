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
_MANIFEST, _PUBLISHED = "manifest", "published"  # the keys of the rows
_MANIFEST_INDEXES = [{"field_name": "vector", "index_type": "FLAT", "metric_type": "IP"}]


class Catalog:
    """The collections of one store, by name: what is there, what is current, and what nothing needs any more.

    NAME                         the alias of the current version's NAME_v…
    NAME_v000003                 a row with the manifest of a version, and one that says that it was published
    NAME_g000001_image, …_text   the items of a generation, which later versions change in place
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        parts = r"v(?P<version>\d{6,})|g(?P<generation>\d{6,})_(?:image|text)"
        self._pattern = re.compile(f"{re.escape(name)}_(?:{parts})")

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
        """The manifests of all published versions, the oldest first."""
        current, collections = self.current(), self._connection.collections()
        found = [self._read(number, current) for number in self._numbers("version", collections)]
        return [manifest for manifest in found if manifest is not None]

    def read(self, version: str) -> MilvusManifest | None:
        """The manifest of a version; None where there is no published one of this name."""
        numbers = self._numbers("version", self._connection.collections())
        number = next((number for number in numbers if version_name(number) == version), None)
        return None if number is None else self._read(number, self.current())

    def _read(self, number: int, current: str | None) -> MilvusManifest | None:
        name = self._of_version(number)
        if not self._connection.is_indexed(name):
            return None
        rows = self._written(number)
        if _MANIFEST not in rows or (_PUBLISHED not in rows and version_name(number) != current):
            return None
        try:
            return MilvusManifest.model_validate_json(rows[_MANIFEST])
        except ValidationError as error:
            raise ArtifactCorrupt(
                f"the Milvus collection {name} does not hold the manifest of a version; drop it, or rebuild the index"
            ) from error

    def next_number(self) -> int:
        """One above every number that was used: what a killed change wrote under its number stays unseen."""
        collections = self._connection.collections()
        used = [*self._numbers("version", collections), *self._numbers("generation", collections)]
        return max(used, default=0) + 1

    def claim(self, number: int) -> None:
        """Take a number, before anything is written under it."""
        self._connection.create(self._of_version(number), _MANIFEST_FIELDS, _MANIFEST_INDEXES)

    def finish(self, manifest: MilvusManifest) -> None:
        """Write the manifest of a version whose rows are all there."""
        self._write(manifest.number, _MANIFEST, manifest.model_dump_json())

    def point(self, number: int) -> None:
        """Make a version the current one, in one step: from here on it is published."""
        self._connection.set_alias(self._name, self._of_version(number), exists=self.current() is not None)

    def mark_current(self) -> None:
        """Note that the current version was published, before another one becomes current."""
        current = self.current()
        if current is not None and _PUBLISHED not in self._written(int(current)):
            self._write(int(current), _PUBLISHED, "")

    def drop(self, number: int) -> None:
        """Drop the manifest of a version."""
        self._connection.drop(self._of_version(number))

    def sweep(self, manifests: Iterable[MilvusManifest]) -> None:
        """Drop what none of these versions reads: generations, and what versions left that were never published.

        The newest number stays claimed even so: rows may have been written under it, and it is never used again.
        """
        kept = list(manifests)
        numbers = {manifest.number for manifest in kept}
        generations = {manifest.generation for manifest in kept}
        collections = self._connection.collections()
        for collection in collections:
            if self._numbered(collection, "generation") not in {0, *generations}:
                self._connection.drop(collection)
        for number in self._numbers("version", collections)[:-1]:
            if number not in numbers:
                self.drop(number)

    def _written(self, number: int) -> dict[str, str]:
        name = self._of_version(number)
        self._connection.load(name)
        return {row["pk"]: row["manifest"] for row in self._connection.query(name, 'pk != ""', ["pk", "manifest"])}

    def _write(self, number: int, key: str, text: str) -> None:
        name = self._of_version(number)
        self._connection.upsert(name, [{"pk": key, "manifest": text, "vector": [1.0, 0.0]}])
        self._connection.flush(name)

    def _of_version(self, number: int) -> str:
        return f"{self._name}_v{version_name(number)}"

    def _numbers(self, part: Literal["version", "generation"], collections: Iterable[str]) -> list[int]:
        return sorted({self._numbered(collection, part) for collection in collections} - {0})

    def _numbered(self, collection: str, part: Literal["version", "generation"]) -> int:
        match = self._pattern.fullmatch(collection)
        return int(match[part] or 0) if match else 0
