"""GET /facets: what the gallery can be filtered by, and sentences to try."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.deps import ResourcesDep
from service.api.rendering import index_ref
from service.api.schemas import Answer, IndexRef
from service.core.facets import Value

router = APIRouter(tags=["search"])

MAX_EXAMPLES = 12


class FacetValue(Answer):
    """A value, and how many images have it."""

    value: Value
    count: int


class FacetAnswer(Answer):
    """A path into the payload, to be used as the key of a filter, with its most frequent values."""

    key: str
    values: list[FacetValue]


class FacetsAnswer(Answer):
    """What can be filtered by; `complete` is false where only the first images of the gallery were counted."""

    facets: list[FacetAnswer]
    examples: list[str]
    complete: bool
    index: IndexRef


@router.get("/facets")
async def facets(
    resources: ResourcesDep, examples: Annotated[int, Query(ge=0, le=MAX_EXAMPLES)] = MAX_EXAMPLES
) -> FacetsAnswer:
    """The keys of the payloads that have few values, with counts, and captions of the gallery as sentences to try."""
    with resources.generations.current as generation:
        found = await generation.facets(resources.workers)
        return FacetsAnswer(
            facets=[
                FacetAnswer(key=one.key, values=[FacetValue(value=value, count=count) for value, count in one.values])
                for one in found.facets
            ],
            examples=list(found.examples[:examples]),
            complete=found.complete,
            index=index_ref(generation.collection),
        )
