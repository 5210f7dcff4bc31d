"""What holds of a query whatever the collection: its model, what it searches, and hits without near-duplicates."""

from dataclasses import replace
from typing import NamedTuple, Protocol

from index.collection import Collection, Hit, SearchOptions, checked_queries
from index.duplicates import unique_hits
from index.items import Embeddings, Modality
from model.errors import ArtifactMismatch


class ModelIdentity(Protocol):
    """What tells one model from another: a `ModelManifest` has it, and so has a `Runtime`."""

    @property
    def model_id(self) -> str: ...

    @property
    def dimension(self) -> int: ...


class Target(NamedTuple):
    """The modality that a query searches, and a note for the answer where that is not what one would expect."""

    modality: Modality
    note: str | None


def check_model(collection: Collection, model: ModelIdentity) -> None:
    """Raises ArtifactMismatch unless the index was built with this model, a `ModelManifest` or a `Runtime`."""
    built = collection.model
    if (built.model_id, built.dimension) != (model.model_id, model.dimension):
        raise ArtifactMismatch(
            f"the index {collection.name} (version {collection.version}) was built with the model {built.model_id} "
            f"({built.name}, dimension {built.dimension}), not with {model.model_id} (dimension {model.dimension}); "
            "rebuild it with `aahr index rebuild`, or give the model that it was built with",
            detail=f"the model that it was built with was in {collection.model_directory}",
        )


def resolve_target(query: Modality, target: Modality | None, collection: Collection) -> Target:
    """What a query of modality `query` searches: `target` where it is given, else the other modality.

    An image query on a gallery without captions searches images. Where `target` has no items, the search finds
    nothing, and the note says why.
    """
    if target is None and query is Modality.IMAGE and not collection.count(Modality.TEXT):
        return Target(Modality.IMAGE, "this gallery has no captions: these are similar images")
    modality = target or query.other
    if not collection.count(modality):
        return Target(modality, "this gallery has no captions, so that no text can be found; search target image")
    return Target(modality, None)


def search_unique(
    collection: Collection, query: Embeddings, target: Modality, options: SearchOptions, unique: float | None
) -> list[Hit]:
    """The hits of one query [1, D]; with `unique`, without those whose cosine with a better one is at least that.

    Raises as `Collection.search`.
    """
    if unique is None:
        (hits,) = collection.search(query, target, options)
        return hits
    checked_queries(query, collection.model.dimension, options)

    def page(offset: int, limit: int) -> list[Hit]:
        (hits,) = collection.search(query, target, replace(options, offset=offset, limit=limit))
        return hits

    return unique_hits(page, collection.embedding, threshold=unique, limit=options.limit, offset=options.offset)
