"""From a request, as HTTP has it, to a query, as the core has it."""

from index.collection import SearchOptions
from index.items import Modality
from service.api.schemas import SearchRequest, Sources
from service.core.errors import InvalidField
from service.core.query import Id, Image, Query, Source, Text, Vector, Weighted


def to_query(request: SearchRequest) -> Query:
    """The query of a request; raises InvalidField for an image URL, which has to be fetched before."""
    mix = request.mix
    parts = [Weighted(to_source(request))] if mix is None else [Weighted(to_source(p), p.weight) for p in mix]
    return Query(
        tuple(parts),
        Modality(request.target) if request.target else None,
        SearchOptions(
            request.limit, request.offset, request.score_threshold, request.filter, normalise=request.normalise
        ),
        request.unique,
    )


def to_source(given: Sources) -> Source:
    """What is searched with: the one that is given."""
    if given.text is not None:
        return Text(given.text)
    if given.image is not None:
        return Image(given.image)
    if given.id is not None:
        return Id(given.id)
    if given.embedding is not None:
        return Vector(given.embedding)
    raise InvalidField("images are not fetched from URLs here; send the image itself", "image_url")
