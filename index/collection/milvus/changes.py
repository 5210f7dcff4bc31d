"""The writes that make a version: new rows, rows that are no longer seen, or all of them copied."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from index.collection.milvus.catalog import Catalog
from index.collection.milvus.connection import PAGE_ROWS, Connection, Row
from index.collection.milvus.expressions import both, quoted
from index.collection.milvus.lock import WriterLock
from index.collection.milvus.manifest import Counts, MilvusManifest, changed_content
from index.collection.milvus.schema import ALL_FIELDS, batches, data_fields, data_indexes, lacking, reborn
from index.items import Modality
from index.manifest import IndexedModel, VersionKind
from index.pending import PendingRows

# A longer lineage makes every search slower: the next change writes the rows anew.
MAX_LINEAGE = 256


@dataclass
class Tally:
    """What a change did to the rows of a version: their digests, and how many there are of each modality now."""

    content: str = "0"
    counts: dict[Modality, int] = field(default_factory=lambda: dict.fromkeys(Modality, 0))

    @classmethod
    def of(cls, manifest: MilvusManifest) -> "Tally":
        """The rows of a version."""
        return cls(manifest.content, {modality: manifest.counts.of(modality) for modality in Modality})

    def add(self, modality: Modality, rows: Sequence[Row]) -> None:
        self.content = changed_content(self.content, added=(row["digest"] for row in rows))
        self.counts[modality] += len(rows)

    def remove(self, modality: Modality, rows: Sequence[Row]) -> None:
        self.content = changed_content(self.content, removed=(row["digest"] for row in rows))
        self.counts[modality] -= len(rows)


class Writer:
    """Writes one version, under the lock of the caller."""

    def __init__(self, connection: Connection, catalog: Catalog, lock: WriterLock, index_kind: str) -> None:
        self._connection = connection
        self._catalog = catalog
        self._lock = lock
        self._index_kind = index_kind
        self.number = catalog.next_number()
        lock.check()
        catalog.claim(self.number)

    def create_generation(self, dimension: int) -> None:
        """Make the collections of a generation of this version's number."""
        indexes = data_indexes(self._index_kind, lite=self._connection.location.lite)
        for modality in Modality:
            self._connection.create(self._catalog.items(self.number, modality), data_fields(dimension), indexes)

    def insert(self, generation: int, rows: Mapping[Modality, PendingRows], tally: Tally) -> None:
        """Insert new rows."""
        for modality, pending in rows.items():
            for batch in batches(modality, pending, self.number):
                self._insert(generation, modality, batch, tally)

    def bury(self, base: MilvusManifest, dead: Mapping[Modality, Iterable[str]], tally: Tally) -> None:
        """Mark the rows of these keys as replaced or deleted by this version; others see them as before."""
        for modality, keys in dead.items():
            name = self._catalog.items(base.generation, modality)
            for part in _pages(sorted(keys)):
                found = self._connection.query(name, both(base.visible, f"key in {quoted(part)}"), ALL_FIELDS)
                if found:
                    self._lock.check()
                    self._connection.upsert(name, [{**row, "died": self.number} for row in found])
                    tally.remove(modality, found)

    def copy(self, base: MilvusManifest, dead: Mapping[Modality, Iterable[str]], tally: Tally) -> None:
        """Insert the rows of a version, all but those of these keys, into the generation of this one."""
        for modality in Modality:
            gone = set(dead.get(modality, ()))
            name = self._catalog.items(base.generation, modality)
            self._connection.load(name)
            absent = lacking(self._connection.field_names(name))
            fields = [field for field in ALL_FIELDS if field not in absent]
            for page in self._connection.pages(name, base.visible, fields):
                kept = [reborn(row, self.number) for row in page if row["key"] not in gone]
                for start in range(0, len(kept), PAGE_ROWS):
                    self._insert(self.number, modality, kept[start : start + PAGE_ROWS], tally)

    def _insert(self, generation: int, modality: Modality, rows: list[Row], tally: Tally) -> None:
        if rows:
            self._lock.check()
            self._connection.insert(self._catalog.items(generation, modality), rows)
            tally.add(modality, rows)

    def manifest(
        self,
        kind: VersionKind,
        model: IndexedModel,
        images_root: str,
        base: MilvusManifest | None,
        tally: Tally,
        rejects: int = 0,
        left_out: int = 0,
    ) -> MilvusManifest:
        """The manifest of the version; with `base` it is a change of that one's generation."""
        return MilvusManifest(
            number=self.number,
            created_at=datetime.now(UTC),
            kind=kind,
            model=model,
            images_root=images_root,
            counts=Counts(
                image=tally.counts[Modality.IMAGE], text=tally.counts[Modality.TEXT], rejects=rejects, left_out=left_out
            ),
            generation=self.number if base is None else base.generation,
            lineage=(self.number,) if base is None else (*base.lineage, self.number),
            index_kind=self._index_kind,
            content=tally.content,
        )


def _pages(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), PAGE_ROWS):
        yield keys[start : start + PAGE_ROWS]
