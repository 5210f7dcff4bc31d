"""A loaded index: items by id, and the best items for embeddings of queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.engines import Embeddings, Engine
from index.gallery import Gallery
from index.items import Item, Modality
from index.manifest import IndexManifest, ModelIdentity
from index.ranking import best_rows
from model.errors import ArtifactMismatch, InvalidInput, ItemNotFound


@dataclass(frozen=True, slots=True)
class Hit:
    """An item of the gallery and its cosine with the query."""

    score: float
    item: Item


class Target(NamedTuple):
    """The modality that a query searches, and a sentence for the answer where that is not what was to be expected."""

    modality: Modality
    note: str | None


class LoadedIndex:
    """One version of an index, checked and in memory; every method may be called from many threads at once."""

    def __init__(
        self, directory: Path, manifest: IndexManifest, gallery: Gallery, engines: Mapping[Modality, Engine]
    ) -> None:
        self.directory = directory
        self.manifest = manifest
        self.gallery = gallery
        self._engines = engines
        rows = [(item, row) for modality in Modality for row, item in enumerate(gallery.of(modality))]
        self.items: Mapping[str, Item] = {item.id: item for item, _ in rows}
        self._row_of = {item.id: row for item, row in rows}

    @property
    def version(self) -> str:
        """The name of the version, such as 000001."""
        return self.manifest.version

    @property
    def dimension(self) -> int:
        """D of the embeddings."""
        return self.manifest.model.dimension

    @property
    def model_directory(self) -> Path:
        """Where the model lies that the index was built with; it may be gone."""
        return self.manifest.locate(self.manifest.model.directory, self.directory)

    def count(self, modality: Modality) -> int:
        """The number of items of one modality."""
        return self.manifest.counts.of(modality)

    def search(
        self,
        queries: Embeddings,
        target: Modality,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
    ) -> list[list[Hit]]:
        """For each L2-normalised query of [Q, D] the hits offset … offset + limit - 1 of all items of `target`.

        Hits fall by score; equal scores are ordered by row, so that pages neither overlap nor leave gaps. With a
        threshold, only hits of at least that score count. Raises InvalidInput for queries of another dimension or
        with values that are not finite, and for a limit below 1 or an offset below 0.
        """
        queries = self._checked(queries)
        if limit < 1 or offset < 0:
            raise InvalidInput(f"limit {limit} and offset {offset} do not go; give limit ≥ 1 and offset ≥ 0")
        engine = self._engines.get(target)
        if engine is None or offset >= engine.size or not len(queries):
            return [[] for _ in queries]
        items = self.gallery.of(target)
        lowest = -np.inf if score_threshold is None else score_threshold
        return [
            [
                Hit(float(score), items[row])
                for score, row in zip(scores[offset:], rows[offset:], strict=True)
                if score >= lowest
            ]
            for scores, rows in best_rows(engine, queries, offset + limit)
        ]

    def item(self, item_id: str) -> Item:
        """The item of this id; raises ItemNotFound."""
        try:
            return self.items[item_id]
        except KeyError:
            raise ItemNotFound(f"no item of index version {self.version} has the id {item_id!r:.80}") from None

    def embedding_of(self, item_id: str) -> NDArray[np.float32]:
        """The embedding [D] of an item; raises ItemNotFound."""
        engine = self._engines[self.item(item_id).modality]
        embedding: NDArray[np.float32] = engine.vectors(np.array([self._row_of[item_id]], np.int64))[0]
        return embedding

    def image_path(self, item_id: str) -> Path:
        """The picture file of an item (of a caption: its picture's).

        Raises ItemNotFound for an unknown id, a file that is gone, and one that links out of the images root.
        """
        uri = self.item(item_id).uri
        root = self.manifest.locate(self.manifest.images_root, self.directory).resolve()
        path = (root / uri).resolve()
        if not path.is_relative_to(root):
            raise ItemNotFound(f"the picture {uri} lies outside of {root} and is not shown")
        if not path.is_file():
            raise ItemNotFound(f"the picture {uri} is no longer in {root}; rebuild the index")
        return path

    def _checked(self, queries: Embeddings) -> Embeddings:
        queries = np.ascontiguousarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise InvalidInput(f"queries of shape {queries.shape} do not fit an index of dimension {self.dimension}")
        if not np.isfinite(queries).all():
            raise InvalidInput("the embedding of a query has values that are not finite")
        return queries


def check_model(index: LoadedIndex, model: ModelIdentity) -> None:
    """Raises ArtifactMismatch unless the index was built with this model, a `ModelManifest` or a `Runtime`."""
    built = index.manifest.model
    if (built.model_id, built.dimension) != (model.model_id, model.dimension):
        raise ArtifactMismatch(
            f"the index {index.directory} (version {index.version}) was built with the model {built.model_id} "
            f"({built.name}, dimension {built.dimension}), not with {model.model_id} (dimension {model.dimension}); "
            "rebuild it with `aahr index rebuild`, or give the model that it was built with"
        )


def resolve_target(query: Modality, target: Modality | None, index: LoadedIndex) -> Target:
    """What a query of modality `query` searches: `target` where it is given, else the other modality.

    An image query on a gallery without captions searches images. Where `target` has no items, the search finds
    nothing, and the note says why.
    """
    if target is None and query is Modality.IMAGE and not index.count(Modality.TEXT):
        return Target(Modality.IMAGE, "this gallery has no captions: these are similar images")
    modality = target or query.other
    if not index.count(modality):
        return Target(modality, "this gallery has no captions, so that no text can be found; search target image")
    return Target(modality, None)
