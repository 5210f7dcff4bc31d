"""/admin/*: for the operator of the service."""

from fastapi import APIRouter, Depends

from service.api.auth import require
from service.api.deps import ResourcesDep
from service.api.rendering import index_ref
from service.api.state_schemas import PublishedVersion, Reloaded, Rollback, Versions
from service.core.generations import Swap
from service.credentials import KeyScope

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(require(KeyScope.ADMIN))])


@router.post("/reload")
async def reload(resources: ResourcesDep) -> Reloaded:
    """Switch to the newly published version of the index, without interruption.

    409 if it cannot be used, for example because it belongs to another model; the old version then stays in service.
    """
    return _reloaded(await resources.generations.reload())


@router.get("/versions")
async def versions(resources: ResourcesDep) -> Versions:
    """The versions of the index that can be served, the newest first, and how far a rebuild is."""
    found, rebuild = await resources.generations.published()
    shown = [PublishedVersion.model_validate(each, from_attributes=True) for each in reversed(found)]
    return Versions(versions=shown, rebuild=rebuild)


@router.post("/rollback")
async def rollback(resources: ResourcesDep, wanted: Rollback | None = None) -> Reloaded:
    """Publish an earlier version of the index again and switch to it; nothing is deleted.

    409 where there is none, and 503 where another process is changing the index.
    """
    return _reloaded(await resources.generations.rollback(None if wanted is None else wanted.version))


def _reloaded(swap: Swap) -> Reloaded:
    return Reloaded(old=index_ref(swap.old.collection), new=index_ref(swap.new.collection))
