"""Liveness and readiness."""

from fastapi import APIRouter

from service.api.deps import ResourcesDep, StopwatchDep
from service.api.schemas import Health

router = APIRouter(prefix="/health", tags=["service"])


@router.get("/live")
async def live() -> Health:
    """The process is alive."""
    return Health()


@router.get("/ready")
async def ready(resources: ResourcesDep, watch: StopwatchDep) -> Health:
    """The index is loaded and both encoders are warm and working; otherwise 503 with the reason.

    A failed encoder is tried again here, so that the service recovers from a transient fault.
    """
    if resources.engine.has_failed:
        await resources.pool.run(resources.engine.warm_up, watch)
    resources.engine.check_ready()
    return Health()
