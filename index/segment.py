"""A segment: rows of one modality that never change, with their vectors, metadata and nearest-neighbour index.

    segments/3f2a…/
        manifest.json        SegmentManifest
        vectors.npy          [N, D] float32, L2-normalised; memory-mapped, read for exact scores only
        metadata.arrow       ids, captions and payloads in columns; memory-mapped
        *ids.arrow           rows by the digests of their ids; memory-mapped
        ann.faiss            the nearest-neighbour index; absent where the vectors themselves are scanned
        hubness.npy          [N] float32, what rankings take off (model.hubness); absent without a bank of queries

Versions share segments: the name of one is the hash of its contents.
"""

import hashlib
import shutil
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from index.ann import FLAT, AnnIndex, AnnSpec, SearchParams, build_ann, open_ann
from index.bank import Bank
from index.items import Embeddings, Item, Modality
from index.metadata import METADATA_FILES, Metadata, write_metadata
from index.reranking import Candidates, best_candidates
from index.rows import RowSet
from model.errors import ArtifactCorrupt
from model.hubness import Floats, spread
from model.manifest import MANIFEST, FileEntry, describe_files, published_directory, read_manifest, verify_files

SEGMENT_FORMAT: Literal["aahr-segment/1"] = "aahr-segment/1"
VECTORS = "vectors.npy"
ANN = "ann.faiss"
HUBNESS = "hubness.npy"

_EXPECTED = "a segment of an index, as `aahr index rebuild` writes it"
_REMEDY = "rebuild the index with `aahr index rebuild`"


class SegmentManifest(BaseModel):
    """What a segment holds and how it is searched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["aahr-segment/1"]
    modality: Modality
    rows: int = Field(gt=0)
    dimension: int = Field(gt=0)
    ann: AnnSpec
    files: dict[str, FileEntry]

    @property
    def segment_id(self) -> str:
        """First 16 hex digits of the SHA-256 over modality and sorted lines `name:sha256`: equal contents, equal id."""
        lines = "".join(f"{name}:{self.files[name].sha256}\n" for name in sorted(self.files))
        return hashlib.sha256(f"{self.modality}\n{lines}".encode()).hexdigest()[:16]

    @property
    def summary(self) -> str:
        """The kind of index, and what was measured when it was built, in a line for people."""
        ann = self.ann
        return (
            f"{self.rows} {self.modality} rows: {ann.kind}, recall@10 {ann.recall_at_10:.3f}, "
            f"{ann.ms_per_query:.2f} ms a query on one thread, {ann.bytes_per_vector:.0f} bytes a vector"
        )


def read_segment_manifest(directory: Path) -> SegmentManifest:
    """The manifest of a segment; raises ArtifactMissing and ArtifactCorrupt."""
    manifest = read_manifest(directory, SegmentManifest, expected=_EXPECTED)
    _check_manifest(directory, manifest)
    return manifest


class Segment:
    """An open segment; every method may be called from many threads at once."""

    def __init__(
        self,
        manifest: SegmentManifest,
        vectors: Embeddings,
        metadata: Metadata,
        ann: AnnIndex,
        hubness: Floats | None = None,
    ) -> None:
        self.manifest = manifest
        self.id = manifest.segment_id
        self.modality = manifest.modality
        self.size = manifest.rows
        self.vectors = vectors
        self.metadata = metadata
        self.ann = ann
        self.hubness = hubness
        # When the last version that shares the segment is gone, so is what the index holds on a GPU.
        weakref.finalize(self, ann.close).atexit = False

    @classmethod
    def open(cls, directory: Path, *, verify: bool = True) -> Self:
        """Open a segment strictly: sizes and hashes are compared before anything is read.

        `verify=False` is for a segment that this process has just written. Raises ArtifactMissing and ArtifactCorrupt.
        """
        manifest = read_segment_manifest(directory)
        if verify:
            verify_files(directory, manifest.files)
        vectors = _open_array(directory / VECTORS, (manifest.rows, manifest.dimension))
        hubness = _open_array(directory / HUBNESS, (manifest.rows,)) if HUBNESS in manifest.files else None
        metadata = Metadata.open(directory)
        if metadata.size != manifest.rows:
            raise ArtifactCorrupt(
                f"{directory} has metadata of {metadata.size} rows, its manifest says {manifest.rows}; {_REMEDY}"
            )
        path = directory / ANN if ANN in manifest.files else None
        return cls(manifest, vectors, metadata, open_ann(manifest.ann, path, vectors), hubness)

    @property
    def complete(self) -> bool:
        """Whether a search compares with every row."""
        return self.ann.exact

    def search(
        self, queries: Embeddings, wanted: int, *, allowed: RowSet | None = None, params: SearchParams | None = None
    ) -> list[Candidates]:
        """For each query of [Q, D] the best `wanted` of the allowed rows, and all that tie with the last of them."""
        return best_candidates(
            self.ann,
            self.vectors,
            queries,
            wanted,
            allowed=allowed,
            spec=self.manifest.ann,
            params=params,
        )

    @property
    def bank(self) -> Bank:
        """Some of its rows, which stand for what people will search the other modality with."""
        rows = spread(self.size)
        return Bank(self.vectors[rows], self.metadata.table(rows)["image_id"])

    def item(self, row: int) -> Item:
        """The item of one row."""
        return self.metadata.item(row, self.modality)


def write_segment(
    segments: Path,
    modality: Modality,
    vectors: Iterable[Embeddings],
    metadata: pa.Table,
    *,
    dimension: int,
    queries: Embeddings | None = None,
    options: Mapping[str, Any] | None = None,
    bank: Bank | None = None,
) -> Segment:
    """Write rows, given as blocks of vectors [n, D] and one table of metadata, as a segment below `segments`; open it.

    `queries` [Q, D] are what the nearest-neighbour index is tuned on, `options` are those of `build_ann`, `bank` is
    what the hubness of the rows is measured by. Where the same segment is there already, that one is taken. Raises
    OSError, and ArtifactError where nothing can be written.
    """
    staged = segments / ".new"
    with published_directory(staged) as directory:
        stored = _write_vectors(directory / VECTORS, vectors, metadata.num_rows, dimension)
        write_metadata(directory, metadata)
        ann, spec = build_ann(stored, queries=queries, **(options or {}))
        if not ann.exact:
            ann.write(directory / ANN)
        if bank is not None:
            _save(directory / HUBNESS, bank.hubness(stored, metadata["image_id"]))
        manifest = SegmentManifest(
            format=SEGMENT_FORMAT,
            modality=modality,
            rows=metadata.num_rows,
            dimension=dimension,
            ann=spec,
            files=describe_files(directory, [path.name for path in directory.iterdir()]),
        )
        (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Segment.open(_named(staged, segments / manifest.segment_id), verify=False)


def _named(staged: Path, target: Path) -> Path:
    """A finished segment in its place; one that is there already has the same contents."""
    if target.exists():
        shutil.rmtree(staged)
    else:
        staged.rename(target)
    return target


def _write_vectors(path: Path, blocks: Iterable[Embeddings], rows: int, dimension: int) -> Embeddings:
    """Written, not mapped: a process that writes to a mapping when the disk is full is killed."""
    start = 0
    with path.open("wb") as file:
        write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)})
        for block in blocks:
            file.write(np.ascontiguousarray(block, "<f4").data)
            start += len(block)
    if start != rows:
        raise ValueError(f"{start} vectors for {rows} rows of metadata")
    stored: Embeddings = np.load(path, mmap_mode="r")
    return stored


def _save(path: Path, values: Floats) -> None:
    with path.open("wb") as file:
        np.save(file, values)


def _open_array(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactCorrupt(f"{path} is not an array of NumPy ({error}); {_REMEDY}") from error
    if array.shape != shape or array.dtype != np.float32:
        raise ArtifactCorrupt(f"{path} holds {array.dtype} {list(array.shape)}, not float32 {list(shape)}; {_REMEDY}")
    plain: NDArray[np.float32] = np.asarray(array)  # a view of the mapping without memmap's cost on every slice
    return plain


def _check_manifest(directory: Path, manifest: SegmentManifest) -> None:
    needed = {VECTORS, *METADATA_FILES, *(() if manifest.ann.kind == FLAT else (ANN,))}
    if needed != set(manifest.files) - {HUBNESS}:
        listed = ", ".join(sorted(manifest.files))
        raise ArtifactCorrupt(f"{directory / MANIFEST} lists {listed}, not {', '.join(sorted(needed))}; {_REMEDY}")
    if not directory.name.startswith(".") and directory.name != manifest.segment_id:
        raise ArtifactCorrupt(f"{directory} holds the segment {manifest.segment_id}; put it back into its own folder")
