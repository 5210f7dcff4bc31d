"""The gallery that neighbours are found in: `neighbours.arrow` beside `neighbours.json` and `neighbours.onnx`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from model.descriptions.neighbours.consensus import NeighbourSettings, rarity_of
from model.errors import ArtifactCorrupt, ArtifactMissing
from model.manifest import parse_json_file, write_text_atomically
from model.preprocess import ImagePreprocessing

GRAPH, SETTINGS, GALLERY = NEIGHBOURS_FILES = ("neighbours.onnx", "neighbours.json", "neighbours.arrow")
VERSION: Literal[1] = 1
"""Counted up whenever the same files would give other words."""

Floats = NDArray[np.float32]


class NeighboursFile(BaseModel):
    """What neighbours.json holds: the backbone that embeds, and how its neighbours are put into words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = VERSION
    backbone: str
    fingerprint: str
    dimension: int = Field(gt=0)
    preprocessing: ImagePreprocessing
    settings: NeighbourSettings = NeighbourSettings()


@dataclass(frozen=True, eq=False)
class Gallery:
    """G training images with their captions.

    Attributes:
        embeddings: [G, D], L2-normalised.
        captions: of each image, at least one.
    """

    embeddings: Floats
    captions: tuple[tuple[str, ...], ...]

    @cached_property
    def rarity(self) -> Mapping[str, float]:
        """Of words, see `rarity_of`."""
        return rarity_of(self.captions)


def write_gallery(directory: Path, gallery: Gallery, file: NeighboursFile) -> None:
    """Write neighbours.json and neighbours.arrow, a row for each image, embeddings in fp16; equal bytes each time."""
    vectors = gallery.embeddings.astype(np.float16)
    table = pa.table(
        {
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
            "captions": pa.array([list(captions) for captions in gallery.captions], pa.list_(pa.string())),
        }
    )
    with pa.OSFile(str(directory / GALLERY), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    write_text_atomically(directory / SETTINGS, file.model_dump_json(indent=2) + "\n")


def read_gallery(directory: Path) -> tuple[Gallery, NeighboursFile]:
    """What `write_gallery` wrote; raises ArtifactMissing, and ArtifactCorrupt for files of another form."""
    for name in NEIGHBOURS_FILES:
        if not (directory / name).is_file():
            raise ArtifactMissing(
                f"{name} is not there, but a describer by neighbours needs it; make it again with "
                "`aahr data neighbours`, or export the model again",
                detail=str(directory / name),
            )
    file = parse_json_file(directory / SETTINGS, NeighboursFile, expected="a describer by neighbours")
    path = directory / GALLERY
    try:
        with pa.OSFile(str(path), "rb") as source:
            table = pa.ipc.open_file(source).read_all()
        vectors = np.stack(table["embedding"].to_numpy()).astype(np.float32)
        captions = tuple(map(tuple, table["captions"].to_pylist()))
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise ArtifactCorrupt(
            f"{GALLERY} is not a gallery of neighbours: {str(error).splitlines()[0]:.200}; make it again",
            detail=str(path),
        ) from error
    if vectors.shape[1] != file.dimension:
        raise ArtifactCorrupt(
            f"{GALLERY} has embeddings of dimension {vectors.shape[1]}, {SETTINGS} says {file.dimension}; make both "
            "again",
            detail=str(path),
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Gallery(vectors / np.maximum(lengths, 1e-12), captions), file


def hash_of(directory: Path) -> str:
    """16 hex digits of everything that the words follow from; the graph is what its fingerprint says."""
    digest = hashlib.sha256()
    for name in (SETTINGS, GALLERY):
        digest.update((directory / name).read_bytes())
    return digest.hexdigest()[:16]
