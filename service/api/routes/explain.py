"""POST /explain: why an image was found by a text."""

from functools import partial

from fastapi import APIRouter, Request, Response

from service.api.body import JSON, parse_model, read_json
from service.api.connection import while_connected
from service.api.deps import ResourcesDep, StopwatchDep
from service.api.explain_schemas import ExplainAnswer, ExplainedWord, ExplainRequest, Grid, Region
from service.api.rendering import index_ref, to_json
from service.api.schemas import ModelRef
from service.core.explaining import Explanation, explain
from service.core.generation import Generation
from service.obs.timing import Stopwatch

router = APIRouter(tags=["search"])

_BODY = {"required": True, "content": {JSON: {"schema": ExplainRequest.model_json_schema()}}}
_EXAMPLE = '{"text": "two dogs on a beach", "id": "img_1d60aeb2116039f7"}'


@router.post("/explain", response_model=ExplainAnswer, openapi_extra={"requestBody": _BODY})
async def explain_image(request: Request, resources: ResourcesDep, watch: StopwatchDep) -> Response:
    """Show how much each word of a text agrees with each part of an image of the gallery."""
    asked = await read_json(request, resources.workers, partial(parse_model, ExplainRequest, example=_EXAMPLE), watch)
    with resources.generations.current as generation:
        explaining = explain(generation, asked.text, asked.id, resources.workers, watch)
        explanation = await while_connected(request.receive, explaining)
        answer = await resources.workers.run(partial(_answer, generation, asked, explanation, watch), watch)
    return Response(answer, media_type=JSON, headers={"Server-Timing": watch.header()})


def _answer(generation: Generation, asked: ExplainRequest, explanation: Explanation, watch: Stopwatch) -> bytes:
    runtime, maps = generation.encoder.runtime, explanation.maps
    _, rows, columns = maps.cosines.shape
    answer = ExplainAnswer(
        text=asked.text,
        id=asked.id,
        score=explanation.score,
        probability=explanation.probability,
        grid=Grid(rows=rows, columns=columns),
        region=Region(**maps.seen._asdict()),
        words=[
            ExplainedWord(word=asked.text[word.start : word.end], start=word.start, end=word.end, cosines=cosines)
            for word, cosines in zip(maps.words, maps.cosines.tolist(), strict=True)
        ],
        truncated=maps.truncated,
        index=index_ref(generation.collection),
        model=ModelRef(name=runtime.name, model_id=runtime.model_id),
        took_ms=watch.total_ms,
    )
    return to_json(answer)
