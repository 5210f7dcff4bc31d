"""Whether the process lives, and whether it can answer."""

from fastapi import APIRouter

from service.deps import ResourcesDep, StopwatchDep
from service.schemas import Health

router = APIRouter(prefix="/health", tags=["service"])


@router.get("/live")
async def live() -> Health:
    """The process answers."""
    return Health()


@router.get("/ready")
async def ready(resources: ResourcesDep, watch: StopwatchDep) -> Health:
    """Index loaded, both encoders warm and working; 503 with the reason otherwise.

    An encoder that has failed is tried again here, so that a passing fault does not keep the service out for good.
    """
    if resources.engine.has_failed:
        await resources.pool.run(resources.engine.warm_up, watch)
    resources.engine.check_ready()
    return Health()
