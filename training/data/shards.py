"""Features on disk: folders that are written once and whole, each with a manifest of hashes."""

import logging
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from model.errors import ArtifactError
from model.manifest import MANIFEST, FileEntry, describe_files, published_directory, read_manifest, verify_files
from training.data.table import FeatureTable

VALUES, GLOBALS, LENGTHS = "values.npy", "global_features.npy", "lengths.npy"

_log = logging.getLogger(__name__)


class ShardManifest(BaseModel):
    """`items` are the keys (hashes of files or texts) in the order of the rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["aahr-features-1"] = "aahr-features-1"
    items: tuple[str, ...]
    files: dict[str, FileEntry]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of n items: values float16 [sum of lengths, Dx], lengths [n], globals float32 [n, Dg]."""

    values: NDArray[np.float16]
    lengths: NDArray[np.int64]
    global_features: NDArray[np.float32]


def concatenate(parts: Sequence[Features]) -> Features:
    """The items of all parts in order."""
    return Features(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.global_features for part in parts]),
    )


class ShardStore:
    """All shards made in one way, below one folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._verified: set[Path] = set()

    def missing(self, items: Iterable[str]) -> list[str]:
        """The keys that no intact shard holds, each once, in their order."""
        wanted = dict.fromkeys(items)
        for _, manifest in self._holding(set(wanted)):
            for item in manifest.items:
                wanted.pop(item, None)
        return list(wanted)

    def write(self, items: Sequence[str], features: Features) -> None:
        """Add a shard; a process killed here leaves none."""
        directory = self._directory / f"shard-{uuid.uuid4().hex}"
        with published_directory(directory) as staging:
            np.save(staging / VALUES, features.values)
            np.save(staging / LENGTHS, features.lengths)
            np.save(staging / GLOBALS, features.global_features)
            files = describe_files(staging, (VALUES, LENGTHS, GLOBALS))
            manifest = ShardManifest(items=tuple(items), files=files)
            (staging / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")
        self._verified.add(directory)

    def table(self, items: Sequence[str]) -> FeatureTable:
        """The features of these items, all of which are there, their values memory-mapped."""
        pieces: list[NDArray[np.float16]] = []
        places: dict[str, NDArray[np.int64]] = {}
        global_features: dict[str, NDArray[np.float32]] = {}
        for directory, manifest in self._holding(set(items)):
            lengths = np.load(directory / LENGTHS)
            starts = np.cumsum(lengths) - lengths
            piece = np.full_like(starts, len(pieces))
            places.update(zip(manifest.items, np.stack([piece, starts, lengths], axis=1), strict=True))
            global_features.update(zip(manifest.items, np.load(directory / GLOBALS), strict=True))
            pieces.append(np.load(directory / VALUES, mmap_mode="r"))
        return FeatureTable(
            pieces, np.stack([places[item] for item in items]), np.stack([global_features[item] for item in items])
        )

    def _holding(self, items: Set[str]) -> Iterator[tuple[Path, ShardManifest]]:
        """The shards with any of these items; a damaged one is reported and removed, to be computed again."""
        for directory in sorted(self._directory.glob("shard-*")):
            try:
                manifest = read_manifest(directory, ShardManifest)
                if items.isdisjoint(manifest.items):
                    continue
                if directory not in self._verified:
                    verify_files(directory, manifest.files)
            except ArtifactError as error:
                _log.warning("features are computed again: %s", error.with_detail)
                shutil.rmtree(directory, ignore_errors=True)  # another process may be at it, too
                continue
            self._verified.add(directory)
            yield directory, manifest
