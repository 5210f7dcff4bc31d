"""GET /metrics: for Prometheus."""

import asyncio

from fastapi import APIRouter, Response

from service.api.deps import ResourcesDep
from service.obs.metrics import CONTENT_TYPE

router = APIRouter(tags=["service"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(resources: ResourcesDep) -> Response:
    """All metrics in Prometheus' text format, summed over the worker processes."""
    content = await asyncio.to_thread(resources.metrics.render)
    return Response(content, media_type=CONTENT_TYPE)
