"""Changes of an index directory: a whole new version, some rows more or fewer, or the same rows written anew.

Rows are never overwritten. A replaced or deleted row is listed as deleted in the new version, and new rows go into a
small segment that is compared row by row beside the main one; `compact` writes one segment of all live rows again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from index.bank import Bank
from index.catalog import Catalog, NewVersion, Part
from index.deltas import joined
from index.items import Embeddings, Modality, Rows
from index.manifest import VersionKind, VersionManifest, check_base
from index.pending import PendingRows, PendingVersion
from index.segment import Segment, write_segment
from index.snapshot import Snapshot
from model.errors import ArtifactError, ArtifactMissing, InvalidInput, ItemNotFound

KEPT_BASES = 3
KEPT_VERSIONS = 20

_BLOCK = 65_536

AnnOptions = Mapping[str, Any]  # of `index.ann.tuning.build_ann`

NONE: Rows = np.empty(0, np.int64)


@dataclass(frozen=True)
class Run:
    """Some rows of an array of vectors, which may lie on disk, with their metadata."""

    vectors: Embeddings
    rows: Rows
    metadata: pa.Table

    @property
    def bank(self) -> Bank:
        """Some of the rows, which stand for what people will search with."""
        return Bank.of(self.vectors, self.rows, self.metadata["image_id"])

    @classmethod
    def of(cls, pending: PendingRows) -> "Run":
        """All rows of these."""
        return cls(pending.vectors, np.arange(len(pending)), pending.metadata)


def publish_pending(
    catalog: Catalog, pending: PendingVersion, options: AnnOptions | None = None, *, normalise: bool = True
) -> VersionManifest:
    """Publish a version that holds these rows and no others; see `Store.publish`, and `LocalStore` on `normalise`."""
    with catalog.writing():
        runs = {modality: [Run.of(rows)] for modality, rows in pending.rows.items() if len(rows)}
        parts = _main_parts(catalog, runs, options, dict.fromkeys(Modality, normalise))
        new = NewVersion(
            kind="rebuild",
            model=pending.model,
            images_root=str(pending.images_root.resolve()),
            parts=parts,
            rejects=pending.rejects,
            left_out=pending.left_out,
        )
        return _publish(catalog, new)


def upsert_rows(
    catalog: Catalog,
    rows: Mapping[Modality, PendingRows],
    *,
    replace_captions: bool = False,
    made_for: VersionManifest | None = None,
    shared: Mapping[str, Segment] | None = None,
) -> VersionManifest:
    """Publish a version with these rows in place of those of equal ids; see `Store.upsert`.

    `made_for` is the version that the rows were made for, `shared` holds segments that are open, by id.
    """
    with catalog.writing():
        before = catalog.open(shared=shared)
        check_base(before.manifest, made_for)
        check_rows(before, rows)
        replaced = {item_id for part in rows.values() for item_id in part.metadata["id"].to_pylist()}
        images = set(rows[Modality.IMAGE].metadata["id"].to_pylist()) if replace_captions else set()
        deleted = [
            _union(_union(gone, _rows_of(segment, replaced)), _rows_of_images(segment, images))
            for segment, gone in zip(before.segments, _deleted(before), strict=True)
        ]
        return _change(catalog, before, "upsert", deleted, rows)


def delete_items(
    catalog: Catalog, ids: Iterable[str], *, shared: Mapping[str, Segment] | None = None
) -> VersionManifest:
    """Publish a version without these items, and without the captions of images among them; see `Store.delete`."""
    with catalog.writing():
        before = catalog.open(shared=shared)
        wanted = set(ids)
        if missing := sorted(item_id for item_id in wanted if before.find(item_id) is None):
            raise ItemNotFound(
                f"no item of version {before.manifest.version} has the id {missing[0]!r:.80} "
                f"({len(missing)} of {len(wanted)} ids are unknown); nothing was deleted"
            )
        deleted = [
            _union(_union(gone, _rows_of(segment, wanted)), _rows_of_images(segment, wanted))
            for segment, gone in zip(before.segments, _deleted(before), strict=True)
        ]
        return _change(catalog, before, "delete", deleted, {})


def compact(catalog: Catalog, options: AnnOptions | None = None) -> VersionManifest:
    """Publish the live rows of the current version, written anew as one segment of each modality."""
    with catalog.writing():
        before = catalog.open()
        deleted = _deleted(before)
        live = {modality: _live(before, deleted, _numbers(before, modality)) for modality in Modality}
        normalise = {modality: before.normalised(modality) for modality in Modality}
        return _publish(catalog, _after(before, "compact", _main_parts(catalog, live, options, normalise)))


def rollback(catalog: Catalog, to: str | None) -> VersionManifest:
    """Make another version current, by default the one before; raises ArtifactMissing where there is none."""
    with catalog.writing():
        names, current = catalog.names(), catalog.current()
        earlier = [name for name in names if int(name) < int(current)]
        if to is None and not earlier:
            raise ArtifactMissing(f"{catalog.directory} has no version before {current}; it has {', '.join(names)}")
        if to is not None and to not in names:
            raise ArtifactMissing(f"{catalog.directory} has no version {to!r:.40}; it has {', '.join(names)}")
        return catalog.make_current(to or earlier[-1])


def prune(catalog: Catalog, keep: int) -> list[str]:
    """Remove all versions but the newest `keep` and the current one; returns their names. Raises InvalidInput."""
    if keep < 1:
        raise InvalidInput(f"keep is {keep}; it has to be at least 1")
    with catalog.writing():
        current = catalog.current()
        removed = [name for name in catalog.names()[:-keep] if name != current]
        catalog.remove(removed)
        return removed


def check_rows(before: Snapshot, rows: Mapping[Modality, PendingRows]) -> None:
    """Raises InvalidInput for rows that cannot be put into a version; see `Store.upsert`."""
    given: dict[str, Modality] = {}
    for modality, part in rows.items():
        if len(part) and part.vectors.shape[1] != before.manifest.model.dimension:
            raise InvalidInput(
                f"rows of dimension {part.vectors.shape[1]} do not fit an index of dimension "
                f"{before.manifest.model.dimension}"
            )
        for item_id in part.metadata["id"].to_pylist():
            if item_id in given:
                raise InvalidInput(f"the id {item_id!r:.80} is given twice; give each item once")
            given[item_id] = modality
            known = before.find(item_id)
            if known is not None and before.segments[known[0]].modality is not modality:
                raise InvalidInput(f"the id {item_id!r:.80} is not of {modality} but of {modality.other} items")
    texts = rows.get(Modality.TEXT)
    for image_id in set(texts.metadata["image_id"].to_pylist()) if texts is not None else ():
        if given.get(image_id) is not Modality.IMAGE and before.find(image_id) is None:
            raise InvalidInput(f"a caption is of the image {image_id!r:.80}, which is not in the index; add it as well")


def _publish(catalog: Catalog, new: NewVersion) -> VersionManifest:
    """Publish, and keep as many versions as rollbacks may want: some changes, and few whole indexes."""
    manifest = catalog.publish(new)
    gone = catalog.first_format_names()
    with suppress(ArtifactError):  # Of a version that cannot be read now it is not known what it is worth: all stay.
        names = [name for name in catalog.names() if name not in gone]
        bases = {name: catalog.manifest(name).base for name in names}
        kept = set(sorted(set(bases.values()), key=int)[-KEPT_BASES:])
        gone += [name for name in names[:-1] if bases[name] not in kept or name not in names[-KEPT_VERSIONS:]]
    if gone:
        catalog.remove(gone)
    return manifest


def _change(
    catalog: Catalog,
    before: Snapshot,
    kind: VersionKind,
    deleted: Sequence[Rows],
    added: Mapping[Modality, PendingRows],
) -> VersionManifest:
    """Publish the segments of a version with these rows deleted, and with the added rows in a segment of their own.

    A small segment of earlier additions is written again together with the new ones.
    """
    parts: list[Part] = []
    for modality in Modality:
        numbers = _numbers(before, modality)
        rows = added.get(modality)
        if rows is not None and len(rows):
            delta = joined([(number, before.segments[number].size) for number in numbers[1:]], len(rows))
            numbers = [number for number in numbers if number not in delta]
            runs = [*_live(before, deleted, delta), Run.of(rows)]
            written = _written(catalog, modality, runs, None, {"kind": "flat"}, before.bank(modality))
            last = [Part(written, NONE)]
        else:
            last = []
        whole = (Part(before.segments[number], deleted[number]) for number in numbers)
        parts += [*(part for part in whole if len(part.deleted) < part.segment.size), *last]
    return _publish(catalog, _after(before, kind, parts))


def _after(before: Snapshot, kind: VersionKind, parts: Sequence[Part]) -> NewVersion:
    manifest = before.manifest
    return NewVersion(kind=kind, model=manifest.model, images_root=manifest.images_root, parts=parts, parent=manifest)


def _main_parts(
    catalog: Catalog,
    runs: Mapping[Modality, Sequence[Run]],
    options: AnnOptions | None,
    normalise: Mapping[Modality, bool],
) -> list[Part]:
    """One segment of each modality that has rows, tuned on embeddings of the other: what people will search with."""
    parts = []
    for modality, rows in runs.items():
        queries = next((run.bank for run in runs.get(modality.other, ())[:1]), None)
        bank = queries if normalise[modality] and queries is not None and queries.is_enough else None
        if rows:
            tuning = None if queries is None else queries.vectors
            parts.append(Part(_written(catalog, modality, rows, tuning, options, bank), NONE))
    return parts


def _written(
    catalog: Catalog,
    modality: Modality,
    runs: Sequence[Run],
    queries: Embeddings | None,
    options: AnnOptions | None,
    bank: Bank | None,
) -> Segment:
    table = pa.concat_tables([run.metadata for run in runs]).combine_chunks()
    dimension = runs[0].vectors.shape[1]
    return write_segment(
        catalog.segments,
        modality,
        _blocks(runs),
        table,
        dimension=dimension,
        queries=queries,
        options=options,
        bank=bank,
    )


def _blocks(runs: Iterable[Run]) -> Iterator[Embeddings]:
    for run in runs:
        for start in range(0, len(run.rows), _BLOCK):
            yield run.vectors[run.rows[start : start + _BLOCK]]


def _live(snapshot: Snapshot, deleted: Sequence[Rows], numbers: Iterable[int]) -> list[Run]:
    """The rows of some segments that are not deleted."""
    live = []
    for number in numbers:
        segment = snapshot.segments[number]
        rows = np.setdiff1d(np.arange(segment.size), deleted[number], assume_unique=True)
        if len(rows):
            live.append(Run(segment.vectors, rows, segment.metadata.table(rows)))
    return live


def _numbers(snapshot: Snapshot, modality: Modality) -> list[int]:
    return [number for number, segment in enumerate(snapshot.segments) if segment.modality is modality]


def _deleted(snapshot: Snapshot) -> list[Rows]:
    return [NONE if live is None else np.flatnonzero(~live.mask) for live in snapshot.live]


def _rows_of(segment: Segment, ids: set[str]) -> Rows:
    rows = segment.metadata.rows_of(sorted(ids))
    return rows[rows >= 0]


def _rows_of_images(segment: Segment, image_ids: set[str]) -> Rows:
    """The rows of images, or of their captions."""
    return np.concatenate([NONE, *(segment.metadata.rows_of_image(image_id) for image_id in sorted(image_ids))])


def _union(first: Rows, second: Rows) -> Rows:
    return np.union1d(first, second)
