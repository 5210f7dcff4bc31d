"""OpenAI's embeddings: POST /v1/embeddings and GET /v1/models, for its client and all that speak as it does."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from model.errors import InvalidInput
from service.api.connection import while_connected
from service.api.deps import Resources, ResourcesDep, StopwatchDep
from service.api.errors import UnknownModel
from service.api.formats import check_format
from service.api.schemas import Answer, CleanText, ImageBytes
from service.core.errors import InvalidField
from service.core.generation import Generation
from service.core.query import Embedded, Image, Query, Text, Weighted
from service.obs.timing import Stopwatch

router = APIRouter(prefix="/v1", tags=["OpenAI"])

MAX_INPUTS = 256
# A name for whichever model is served, for clients whose configuration must not change with it.
ANY_MODEL = "aahr"


class TextInput(BaseModel):
    """A text, where images are among the inputs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: CleanText


class ImageInput(BaseModel):
    """An image: OpenAI's embeddings know only text, so this is ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: ImageBytes = Field(description="An image file as base64, or as a data: URI.")


class EmbeddingsRequest(BaseModel):
    """As OpenAI's client sends it; arrays of tokens are refused, since they would be of another tokenizer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str = Field(max_length=200, description="The name or the id of the served model, or aahr for any.")
    input: CleanText | list[CleanText | TextInput | ImageInput] = Field(
        description=f"A text, or up to {MAX_INPUTS} texts and images.", examples=["two dogs on a beach"]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, description="That of the model, if given.")

    def sources(self) -> list[Text | Image]:
        """What is to be embedded; raises InvalidField for none, and for too many."""
        given = self.input if isinstance(self.input, list) else [self.input]
        if not 1 <= len(given) <= MAX_INPUTS:
            raise InvalidField(f"input has {len(given)} parts; give 1 to {MAX_INPUTS}", "input")
        return [_source(part) for part in given]


class EmbeddingObject(Answer):
    """One embedding: numbers, or little-endian float32 as base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(Answer):
    """Tokens of the texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Answer):
    """The embeddings in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[EmbeddingObject]
    model: str
    usage: Usage


class ModelObject(Answer):
    """The served model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "aahr"


class ModelList(Answer):
    """All models: one."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


@router.post("/embeddings")
async def embeddings(
    asked: EmbeddingsRequest, request: Request, resources: ResourcesDep, watch: StopwatchDep
) -> EmbeddingsAnswer:
    """Embed texts and images. The embeddings have length 1, so that their inner products are cosines."""
    sources = asked.sources()
    for source in sources:
        if isinstance(source, Image):
            check_format(source.content, resources.settings.image_formats)
    with resources.generations.current as generation:
        runtime = generation.encoder.runtime
        _check_model(asked.model, generation)
        if asked.dimensions not in (None, runtime.dimension):
            raise InvalidField(f"the model has {runtime.dimension} dimensions, not {asked.dimensions}", "dimensions")
        found = await while_connected(request.receive, _embedded(resources, generation, sources, watch))
        texts = [source.text for source in sources if isinstance(source, Text)]
        tokens = await resources.workers.run(lambda: _tokens(generation, texts)) if texts else 0
    data = [
        EmbeddingObject(index=place, embedding=_encoded(one.embedding, asked.encoding_format))
        for place, one in enumerate(found)
    ]
    return EmbeddingsAnswer(data=data, model=runtime.name, usage=Usage(prompt_tokens=tokens, total_tokens=tokens))


@router.get("/models")
async def models(resources: ResourcesDep) -> ModelList:
    """The served model."""
    return ModelList(data=[_described(resources.generations.current)])


@router.get("/models/{name}")
async def model(name: str, resources: ResourcesDep) -> ModelObject:
    """The served model, if it has this name."""
    _check_model(name, resources.generations.current)
    return _described(resources.generations.current)


async def _embedded(
    resources: Resources, generation: Generation, sources: Sequence[Text | Image], watch: Stopwatch
) -> list[Embedded]:
    """One by one into the queues, which make batches of them; the first that fails fails all."""
    queries = [Query((Weighted(source),)) for source in sources]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(resources.searcher.embed(generation, query, watch)) for query in queries]
    except* InvalidInput as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _source(part: str | TextInput | ImageInput) -> Text | Image:
    if isinstance(part, ImageInput):
        return Image(part.image)
    return Text(part if isinstance(part, str) else part.text)


def _check_model(name: str, generation: Generation) -> None:
    runtime = generation.encoder.runtime
    if name not in (runtime.name, runtime.model_id, ANY_MODEL):
        raise UnknownModel(f"the model {name!r:.80} is not served; ask for {runtime.name} or {ANY_MODEL}")


def _described(generation: Generation) -> ModelObject:
    created = int(generation.collection.created_at.timestamp())
    return ModelObject(id=generation.encoder.runtime.name, created=created)


def _tokens(generation: Generation, texts: Sequence[str]) -> int:
    return int(generation.encoder.runtime.tokenizer(texts).attention_mask.sum())


def _encoded(embedding: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", form: str) -> list[float] | str:
    if form == "float":
        return [float(value) for value in embedding]
    return base64.b64encode(embedding.astype("<f4").tobytes()).decode()
