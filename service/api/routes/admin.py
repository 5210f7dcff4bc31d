"""POST /admin/*: for the operator of the service."""

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from model.errors import AahrError
from service.api.deps import ResourcesDep
from service.api.errors import ForbiddenError, UnauthorizedError
from service.api.schemas import Reloaded
from service.api.trust import is_from_this_machine
from service.core.served import index_ref

_bearer = HTTPBearer(auto_error=False, description="The setting AAHR_ADMIN_TOKEN.")


def require_admin(
    request: Request,
    resources: ResourcesDep,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """Raises UnauthorizedError for a missing or wrong token.

    Where no token is set, raises ForbiddenError for clients on other machines or behind a proxy.
    """
    token = resources.settings.admin_token
    if token is None:
        if not is_from_this_machine(request):
            raise ForbiddenError("without a token only direct clients on this machine are let in; set AAHR_ADMIN_TOKEN")
    elif given is None or not _is_same(given.credentials, token.get_secret_value()):
        raise UnauthorizedError("the header Authorization: Bearer … is missing, or its token is not AAHR_ADMIN_TOKEN")


router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(require_admin)])


@router.post("/reload")
async def reload(resources: ResourcesDep) -> Reloaded:
    """Switch to the newly published version of the index, without interruption.

    409 if it cannot be used, for example because it belongs to another model; the old version then stays in service.
    """
    # Not in the worker pool: searches continue while the files are read.
    try:
        old, new = await asyncio.to_thread(resources.engine.reload)
    except AahrError:
        resources.metrics.count_refusal()
        raise
    resources.metrics.count_swap()
    resources.metrics.serve_generation(new.version, resources.engine.runtime.model_id)
    return Reloaded(old=index_ref(old), new=index_ref(new))


def _is_same(credentials: str, token: str) -> bool:
    """Compares in constant time, on the bytes that were sent: Starlette decodes headers as Latin-1."""
    return secrets.compare_digest(credentials.encode("latin-1"), token.encode())
