"""The application: its routes, and the resources that live as long as it does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.api.body import BodyLimit
from service.api.deps import Resources, State
from service.api.errors import install_error_handlers
from service.api.routes import admin, health, info, items, page, search
from service.api.schemas import ErrorAnswer
from service.api.trust import HostNames, TrustedRequests
from service.cache import Cache, warn_if_unreachable
from service.core.engine import Engine
from service.core.pool import WorkerPool
from service.obs.timing import Stopwatch
from service.settings import Settings

_DESCRIPTION = "Search images with a sentence, and captions with an image."


def create_app(
    settings: Settings, engine: Engine, cache: Cache, *, on_ready: Callable[[], None] = lambda: None
) -> FastAPI:
    """The application around a loaded engine, which it warms up once started and closes on shutdown.

    `on_ready` is called once, as soon as both encoders are warm.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        resources = Resources(settings, engine, cache, WorkerPool(settings.workers))
        warming = asyncio.create_task(_warm(resources, on_ready))
        try:
            yield State(resources=resources)
        finally:
            await warming
            resources.pool.close()
            engine.close()
            await cache.close()

    # Serves the documentation page without a CDN: the service may run offline.
    app = FastAPIOffline(
        title="AAHR",
        version=version("aahr"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(TrustedRequests, names=HostNames(settings))
    install_error_handlers(app)
    for part in (search, items, info, health, admin, page):
        app.include_router(part.router)
    return app


async def _warm(resources: Resources, on_ready: Callable[[], None]) -> None:
    await warn_if_unreachable(resources.cache)
    await resources.pool.run(resources.engine.warm_up, Stopwatch())
    if not resources.engine.has_failed:
        on_ready()
