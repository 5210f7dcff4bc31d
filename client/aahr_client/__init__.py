"""A client of an AAHR image-text retrieval service, synchronous and asynchronous."""

from aahr_client.clients import AsyncClient, Client
from aahr_client.errors import (
    AahrError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from aahr_client.models import BatchItem, Hit, Item, SearchAnswer, StoredItem

__all__ = [
    "AahrError",
    "AsyncClient",
    "BatchItem",
    "Client",
    "Conflict",
    "Forbidden",
    "Hit",
    "Invalid",
    "Item",
    "NotFound",
    "SearchAnswer",
    "StoredItem",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
]
