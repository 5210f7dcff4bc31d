"""The application: its routes, and the resources that live as long as it does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import BaseRoute, Route

from service.api.answers import Answers
from service.api.deps import Resources, State
from service.api.error_handlers import install_error_handlers
from service.api.fetch import make_fetcher
from service.api.images import Images
from service.api.protection import protect
from service.api.rates import RateLimit
from service.api.routes import (
    admin,
    changes,
    embeddings,
    explain,
    facets,
    health,
    info,
    items,
    knn,
    metrics,
    page,
    search,
)
from service.api.schemas import ErrorAnswer
from service.cache import Cache, warn_if_unreachable
from service.cache.embeddings import EmbeddingCache
from service.core.changes import Changes
from service.core.generation import Generation, Loader
from service.core.generations import Generations
from service.core.searcher import Searcher
from service.obs.metrics import Metrics
from service.obs.middleware import Observed
from service.obs.tracing import Tracing
from service.settings import Settings

_DESCRIPTION = "Search images with a sentence, and captions with an image."
_RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}}
_ROUTERS = tuple(
    part.router
    for part in (search, explain, facets, items, changes, embeddings, knn, info, health, metrics, admin, page)
)


def create_app(
    settings: Settings,
    loader: Loader,
    first: Generation,
    cache: Cache,
    observed: Metrics,
    tracing: Tracing | None = None,
    *,
    on_ready: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The application around a loaded generation; on shutdown it closes whatever it got.

    `on_ready` is called once, as soon as requests are answered.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        generations = Generations(loader, first, observed)
        resources = _resources(settings, loader, generations, cache, observed)
        await warn_if_unreachable(cache)
        if settings.watch_s:
            generations.watch(settings.watch_s)
        on_ready()
        try:
            yield State(resources=resources)
        finally:
            await _close(resources, tracing, rates)

    app = _documented(lifespan)
    rates = _add_layers(app, settings, observed, tracing)
    install_error_handlers(app)
    _add_routes(app, observed)
    return app


def _documented(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[State]]) -> FastAPI:
    """Serves the documentation page without a CDN: the service may run offline."""
    return FastAPIOffline(
        title="AAHR",
        version=version("aahr"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        responses=_RESPONSES,
    )


def _resources(
    settings: Settings, loader: Loader, generations: Generations, cache: Cache, observed: Metrics
) -> Resources:
    searcher = Searcher(loader.workers, EmbeddingCache(cache, observed))
    images = Images(make_fetcher(settings), settings.image_formats)
    answers = Answers(searcher, cache, images, observed)
    changed = Changes(generations, loader.store, settings.max_queue)
    return Resources(settings, generations, searcher, answers, cache, loader.workers, observed, changed)


def _add_layers(app: FastAPI, settings: Settings, observed: Metrics, tracing: Tracing | None) -> RateLimit | None:
    """The last one added is the outermost: it sees what the others refuse."""
    rates = protect(app, settings)
    app.add_middleware(Observed, metrics=observed, tracing=tracing, log_access=settings.logs_access)
    return rates


def _add_routes(app: FastAPI, observed: Metrics) -> None:
    """FastAPI hides what it has included, so the templates are read from the routers."""
    observed.expect_routes(_templates([*app.routes, *(route for router in _ROUTERS for route in router.routes)]))
    # Searches come by the thousand: a plain route in front of FastAPI's own, which describes it, costs a third less.
    app.router.routes.insert(0, Route(search.PATH, search.search, methods=["POST"]))
    for router in _ROUTERS:
        app.include_router(router)


def _templates(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, set[str]]]:
    """The path template and the methods of every route; what is mounted has none."""
    for route in routes:
        if isinstance(route, Route):
            yield route.path, set(route.methods or ())


async def _close(resources: Resources, tracing: Tracing | None, rates: RateLimit | None) -> None:
    await resources.answers.images.close()
    await resources.changes.close()
    await resources.generations.close()
    resources.workers.close()
    await resources.cache.close()
    if rates is not None:
        await rates.close()
    if tracing is not None:
        await asyncio.to_thread(tracing.close)
