"""Shards on disk: each whole or not there, each checked before a later run trusts it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from index.embedding.plan import Shard
from index.embedding.rows import ShardRows
from index.items import Embeddings, Modality
from index.rejects import REJECTS, Reject, write_rejects
from model.errors import ArtifactError
from model.manifest import MANIFEST, FileEntry, describe_files, published_directory, read_manifest, verify_files

SHARD_FORMAT = "aahr-shard/1"
_EXPECTED = "a shard of `aahr index rebuild`"


class ShardManifest(BaseModel):
    """What a shard holds; it is written last, with the size and SHA-256 of every other file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["aahr-shard/1"]
    job: str
    number: int
    rows: dict[Modality, int]
    rejected_images: int
    left_out: int
    stale: int
    stamps: str
    files: dict[str, FileEntry]


class ShardStore:
    """The shards of one job, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, shard: Shard, rows: ShardRows) -> ShardManifest:
        """Write a shard beside its place and move it there once it is on disk; raises ArtifactError."""
        target = self._path(shard.number)
        if target.exists():
            shutil.rmtree(target)
        with published_directory(target) as staging:
            for modality in Modality:
                np.save(staging / vectors_file(modality), rows.vectors[modality])
                write_table(staging / metadata_file(modality), rows.metadata[modality])
            write_rejects(staging / REJECTS, rows.rejects)
            manifest = ShardManifest(
                format=SHARD_FORMAT,
                job=self.folder.name,
                number=shard.number,
                rows={modality: len(rows.vectors[modality]) for modality in Modality},
                rejected_images=rows.rejected_images,
                left_out=rows.left_out,
                stale=rows.stale,
                stamps=rows.stamps,
                files=describe_files(staging, [path.name for path in staging.iterdir()]),
            )
            (staging / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return manifest

    def read(self, shard: Shard) -> ShardManifest | None:
        """The manifest of a shard that is there and sound, else None: a damaged one is made again."""
        path = self._path(shard.number)
        try:
            manifest = read_manifest(path, ShardManifest, expected=_EXPECTED)
            verify_files(path, manifest.files)
        except (ArtifactError, OSError):
            return None
        return manifest if (manifest.job, manifest.number) == (self.folder.name, shard.number) else None

    def vectors(self, number: int, modality: Modality) -> Embeddings:
        """The embeddings [n, D] of one shard."""
        vectors: Embeddings = np.load(self._path(number) / vectors_file(modality))
        return vectors

    def metadata(self, number: int, modality: Modality) -> pa.Table:
        """The metadata of one shard."""
        return read_table(self._path(number) / metadata_file(modality))

    def rejects(self, number: int) -> Iterator[Reject]:
        """The rejects of one shard."""
        with (self._path(number) / REJECTS).open(encoding="utf-8") as file:
            for line in file:
                yield Reject(**json.loads(line))

    def clear_leftovers(self) -> None:
        """Remove what a killed run was writing."""
        for path in self.folder.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}"


def vectors_file(modality: Modality) -> str:
    return f"{modality}.npy"


def metadata_file(modality: Modality) -> str:
    return f"{modality}.arrow"


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as an Arrow file."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read_table(path: Path) -> pa.Table:
    """Read an Arrow file into memory."""
    with pa.OSFile(str(path), "rb") as file:
        return pa.ipc.open_file(file).read_all()
