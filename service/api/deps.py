"""The dependencies of the routes; tests override `get_resources`."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from service.api.answers import Answers
from service.cache import Cache
from service.core.budget import Workers
from service.core.changes import Changes
from service.core.generations import Generations
from service.core.searcher import Searcher
from service.obs.metrics import Metrics
from service.obs.timing import Stopwatch
from service.settings import Settings


@dataclass(frozen=True)
class Resources:
    """Everything that lives as long as the service."""

    settings: Settings
    generations: Generations
    searcher: Searcher
    answers: Answers
    cache: Cache
    workers: Workers
    metrics: Metrics
    changes: Changes


class State(TypedDict):
    """What the lifespan passes to every request."""

    resources: Resources


async def get_resources(request: Request) -> Resources:
    """The resources of the lifespan."""
    resources: Resources = request.state.resources
    return resources


async def get_stopwatch(request: Request) -> Stopwatch:
    """The stopwatch that the outermost middleware has started."""
    watch: Stopwatch = request.state.watch
    return watch


ResourcesDep = Annotated[Resources, Depends(get_resources)]
StopwatchDep = Annotated[Stopwatch, Depends(get_stopwatch)]
