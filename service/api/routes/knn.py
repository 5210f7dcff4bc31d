"""What clip-retrieval's clients ask for: POST /knn-service, GET /indices-list, POST /metadata.

`ClipClient` and its web front work unmodified with the URL of this service, but for one thing: ids are ours, which are
text. The safety, violence and aesthetic models of LAION are not here: what asks for them is accepted and has no effect.
"""

import json
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, ValidationError

from index.collection import Hit
from index.items import Item
from service.api.body import ParsedRequest
from service.api.connection import while_connected
from service.api.deps import Resources, ResourcesDep, StopwatchDep
from service.api.errors import MalformedBody, invalid_field
from service.api.queries import to_query
from service.api.schemas import MAX_LIMIT, SearchRequest
from service.core.generation import Generation
from service.obs.timing import Stopwatch

router = APIRouter(tags=["clip-retrieval"])

# From which cosine clip-retrieval takes two images for one.
_DUPLICATE = 0.94

Asked = TypeVar("Asked", bound=BaseModel)


class KnnRequest(BaseModel):
    """A search as `ClipClient` sends it; what it leaves out is null there."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str | None = None
    image: str | None = Field(default=None, description="An image file as base64.")
    image_url: str | None = None
    embedding_input: list[FiniteFloat] | None = None
    modality: str = Field(default="image", pattern="^(image|text)$")
    num_images: int = Field(default=40, ge=1, le=MAX_LIMIT, description="Hits that are returned with their metadata.")
    num_result_ids: int | None = Field(
        default=None, ge=1, le=MAX_LIMIT, description="Hits that are returned at all; default: num_images."
    )
    indice_name: str | None = None
    deduplicate: bool = False

    def search(self) -> SearchRequest:
        """The same as a search of ours; raises ValidationError."""
        asked = {"text": self.text, "image": self.image, "image_url": self.image_url, "embedding": self.embedding_input}
        given = {name: value for name, value in asked.items() if value not in (None, "")}
        options: dict[str, Any] = {"target": self.modality, "limit": max(self.num_images, self.num_result_ids or 0)}
        if self.deduplicate:
            options["unique"] = _DUPLICATE
        return SearchRequest.model_validate({**given, **options})


class MetadataRequest(BaseModel):
    """Items whose metadata is wanted."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ids: list[str] = Field(max_length=MAX_LIMIT)


def _body_of(kind: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


@router.post("/knn-service", openapi_extra=_body_of(KnnRequest))
async def knn_service(request: Request, resources: ResourcesDep, watch: StopwatchDep) -> list[dict[str, JsonValue]]:
    """Search as clip-retrieval's `back` does: a list of hits, the first `num_images` of them with their metadata.

    The body is JSON whatever its content type says: `ClipClient` sends none.
    """
    asked = _read(KnnRequest, await request.body())
    try:
        parsed = ParsedRequest.of(asked.search())
    except ValidationError as error:
        raise invalid_field(error.errors(include_url=False, include_context=False, include_input=False)) from error
    with resources.generations.current as generation:
        hits = await while_connected(request.receive, _hits(resources, generation, parsed, watch))
    return [
        {"id": hit.item.id, "similarity": hit.score, **(_metadata(hit.item) if place < asked.num_images else {})}
        for place, hit in enumerate(hits)
    ]


@router.get("/indices-list")
async def indices_list(resources: ResourcesDep) -> list[str]:
    """The names of the indexes: there is one."""
    return [resources.generations.current.collection.name]


@router.post("/metadata", openapi_extra=_body_of(MetadataRequest))
async def metadata(request: Request, resources: ResourcesDep) -> list[dict[str, JsonValue]]:
    """The metadata of some items."""
    wanted = _read(MetadataRequest, await request.body())
    with resources.generations.current as generation:
        return [{"id": item_id, "metadata": _metadata(generation.collection.item(item_id))} for item_id in wanted.ids]


async def _hits(resources: Resources, generation: Generation, parsed: ParsedRequest, watch: Stopwatch) -> list[Hit]:
    admitted = await resources.answers.images.admitted(parsed)
    return list((await resources.searcher.search(generation, to_query(admitted.request), watch)).hits)


def _metadata(item: Item) -> dict[str, JsonValue]:
    """The payload with what clip-retrieval's front shows; our own names win over those of the payload."""
    return {**item.payload, "url": f"/items/{item.id}/image", "caption": item.caption, "image_path": item.uri}


def _read(kind: type[Asked], body: bytes) -> Asked:
    try:
        return kind.model_validate(json.loads(body))
    except ValidationError as error:
        raise invalid_field(error.errors(include_url=False, include_context=False, include_input=False)) from error
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error
