"""The application: its routes, and the resources that live as long as it does."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.api.answers import Answers
from service.api.deps import Resources, State
from service.api.errors import install_error_handlers
from service.api.protection import protect
from service.api.routes import admin, health, info, items, page, search
from service.api.schemas import ErrorAnswer
from service.cache import Cache, warn_if_unreachable
from service.core.generation import Generation, Loader
from service.core.generations import Generations
from service.core.searcher import Searcher
from service.settings import Settings

_DESCRIPTION = "Search images with a sentence, and captions with an image."


def create_app(
    settings: Settings, loader: Loader, first: Generation, cache: Cache, *, on_ready: Callable[[], None] = lambda: None
) -> FastAPI:
    """The application around a loaded generation; the loader, the workers and the cache are closed on shutdown.

    `on_ready` is called once, as soon as requests are answered.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        generations = Generations(loader, first)
        searcher = Searcher(loader.workers)
        resources = Resources(settings, generations, searcher, Answers(searcher, cache), cache, loader.workers)
        await warn_if_unreachable(cache)
        if settings.watch_s:
            generations.watch(settings.watch_s)
        on_ready()
        try:
            yield State(resources=resources)
        finally:
            await generations.close()
            loader.workers.close()
            await cache.close()
            if rates is not None:
                await rates.close()

    # Serves the documentation page without a CDN: the service may run offline.
    app = FastAPIOffline(
        title="AAHR",
        version=version("aahr"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
    )
    rates = protect(app, settings)
    install_error_handlers(app)
    for part in (search, items, info, health, admin, page):
        app.include_router(part.router)
    return app
