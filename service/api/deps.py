"""The dependencies of the routes; tests override `get_resources`."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from service.api.body import ParsedRequest, read_search_request
from service.cache import Cache
from service.core.engine import Engine
from service.core.pool import WorkerPool
from service.obs.metrics import Metrics
from service.obs.timing import Stopwatch
from service.settings import Settings


@dataclass(frozen=True)
class Resources:
    """Everything that lives as long as the service."""

    settings: Settings
    engine: Engine
    cache: Cache
    pool: WorkerPool
    metrics: Metrics


class State(TypedDict):
    """What the lifespan passes to every request."""

    resources: Resources


def get_resources(request: Request) -> Resources:
    """The resources of the lifespan."""
    resources: Resources = request.state.resources
    return resources


async def get_stopwatch(request: Request) -> Stopwatch:
    """The stopwatch that the outermost middleware has started."""
    watch: Stopwatch = request.state.watch
    return watch


ResourcesDep = Annotated[Resources, Depends(get_resources)]
StopwatchDep = Annotated[Stopwatch, Depends(get_stopwatch)]


async def get_search_request(request: Request, watch: StopwatchDep, resources: ResourcesDep) -> ParsedRequest:
    """The search request in the body; the watch starts before the body is read."""
    return await read_search_request(request, resources.pool, watch)


SearchRequestDep = Annotated[ParsedRequest, Depends(get_search_request)]
