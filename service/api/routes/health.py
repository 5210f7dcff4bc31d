"""Liveness and readiness."""

from fastapi import APIRouter

from service.api.deps import ResourcesDep
from service.api.state_schemas import Health, Readiness

router = APIRouter(prefix="/health", tags=["service"])


@router.get("/live")
async def live() -> Health:
    """The process is alive."""
    return Health()


@router.get("/ready")
async def ready(resources: ResourcesDep) -> Readiness:
    """The index is loaded and both encoders work; otherwise 503 with the reason.

    A failed encoder is tried again here, so that the service recovers from a transient fault. A published version that
    was refused is named, but the one before it serves, so that the service is ready.
    """
    await resources.generations.check_ready()
    refused = resources.generations.refused
    return Readiness(refused=None if refused is None else f"the published version is not served: {refused}")
