"""A collection: the one interface that the service and the command line see of an index. Ids, never rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from index.ann.protocol import SearchParams
from index.filters import Filter
from index.items import Embeddings, Item, Modality
from index.known import Known
from index.manifest import IndexedModel
from model.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Hit:
    """An item of the gallery and its cosine with the query; `rank_score` is what it is ranked by, where not by that."""

    score: float
    item: Item
    rank_score: float | None = None


@dataclass(frozen=True, slots=True)
class Ordering:
    """What a collection promises about the order of its hits; they always fall by what they are ranked by.

    `complete`: the hits are the best of all items, not of the candidates of an approximate search. `ties` says how
    items of equal score are ordered: "id" by their id, so that pages neither overlap nor leave gaps.
    """

    complete: bool
    ties: Literal["id", "unspecified"]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How one call searches.

    `limit` hits are returned after the best `offset` ones; with `score_threshold` only hits of at least that score
    count; `filter` chooses the items before the best are taken; `params` are of the kind of nearest-neighbour index.
    With `normalise`, hubs are ranked lower where the collection knows them: for queries of the other modality.
    """

    limit: int = 10
    offset: int = 0
    score_threshold: float | None = None
    filter: Filter | None = None
    params: SearchParams | None = None
    normalise: bool = False


class Collection(Protocol):
    """One published version, open for reading; every method may be called from many threads at once."""

    @property
    def name(self) -> str:
        """Name of the index, such as its directory's."""

    @property
    def version(self) -> str:
        """Name of the version, such as 000001."""

    @property
    def index_id(self) -> str:
        """Equal exactly for equal contents: what caches are keyed by."""

    @property
    def created_at(self) -> datetime:
        """When the version was published."""

    @property
    def model(self) -> IndexedModel:
        """The model that the embeddings come from."""

    @property
    def model_directory(self) -> Path:
        """Where that model lies; it may be gone."""

    def ordering(self, modality: Modality) -> Ordering:
        """What is promised about the order of hits of one modality."""

    def count(self, modality: Modality) -> int:
        """The number of items of one modality."""

    def normalised(self, modality: Modality) -> bool:
        """Whether it knows which items of one modality are hubs, so that `SearchOptions.normalise` has an effect."""

    def search(self, queries: Embeddings, target: Modality, options: SearchOptions) -> list[list[Hit]]:
        """For each L2-normalised query of [Q, D] its hits among the items of `target`.

        Raises InvalidInput for queries of another dimension or with values that are not finite, a limit below 1, an
        offset below 0, and parameters that the index does not have.
        """

    def items(self, modality: Modality) -> Iterator[Item]:
        """All items of one modality, in an order of the implementation's own."""

    def item(self, item_id: str) -> Item:
        """The item of this id; raises ItemNotFound."""

    def embedding(self, item_id: str) -> NDArray[np.float32]:
        """The embedding [D] of an item; raises ItemNotFound."""

    def image_path(self, item_id: str) -> Path:
        """The image file of an item (of a caption: of its image).

        Raises ItemNotFound for an unknown id, a file that is gone, and one that lies outside of the images root.
        """

    @property
    def images_root(self) -> Path:
        """Where the image files lie; it may be gone."""

    def known(self) -> Known | None:
        """What a rebuild need not embed again; None where that cannot be said."""

    def close(self) -> None:
        """Release files and memory; searches that run are finished first by their callers."""


def checked_queries(queries: Embeddings, dimension: int, options: SearchOptions) -> Embeddings:
    """The queries [Q, D] as contiguous float32.

    Raises InvalidInput for another dimension, for values that are not finite, for a limit below 1 and for an offset
    below 0.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise InvalidInput(f"queries of shape {queries.shape} do not fit an index of dimension {dimension}")
    if not np.isfinite(queries).all():
        raise InvalidInput("the embedding of a query has values that are not finite")
    if options.limit < 1 or options.offset < 0:
        raise InvalidInput(f"limit {options.limit} must be at least 1 and offset {options.offset} at least 0")
    return queries


def refuse_params(options: SearchOptions) -> None:
    """Raises InvalidInput for any parameter: of an index that has none."""
    if options.params:
        raise InvalidInput(f"this index has no parameter {next(iter(options.params))!r:.40}; give none")
