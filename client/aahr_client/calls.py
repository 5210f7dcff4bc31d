"""Each call of the service as data: what is sent, and how the answer is read. Nothing is sent here."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from aahr_client.models import BatchAnswer, BatchItem, Embeddings, Item, SearchAnswer, Stored, StoredItem, Swap

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and the reader of its answer; `repeatable` where sending it twice does no harm."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    json: Any = None
    files: Mapping[str, Any] | None = None
    repeatable: bool = True


def search(fields: Mapping[str, Any]) -> Call[SearchAnswer]:
    """POST /search with the fields that are not None; an image goes as a file where that is possible."""
    given = {name: value for name, value in fields.items() if value is not None}
    image = given.get("image")
    if isinstance(image, bytes) and not {"embedding", "mix"} & set(given):
        parts: dict[str, Any] = {name: (None, _text(value)) for name, value in given.items() if name != "image"}
        return Call("POST", "/search", _search_answer, files={"image": ("image", image), **parts})
    return Call("POST", "/search", _search_answer, json=_plain(given))


def search_batch(searches: Sequence[Mapping[str, Any]]) -> Call[list[BatchItem]]:
    """POST /search/batch."""
    return Call("POST", "/search/batch", _batch_answers, json={"searches": [_plain(one) for one in searches]})


def embed(inputs: Sequence[str | bytes]) -> Call[list[list[float]]]:
    """POST /v1/embeddings; bytes are image files."""
    parts = [{"text": one} if isinstance(one, str) else {"image": _base64(one)} for one in inputs]
    return Call("POST", "/v1/embeddings", _embeddings, json={"model": "aahr", "input": parts})


def item(item_id: str) -> Call[Item]:
    """GET /items/{id}."""
    return Call("GET", f"/items/{quote(item_id, safe='')}", lambda response: Item.model_validate_json(response.content))


def image(item_id: str) -> Call[bytes]:
    """GET /items/{id}/image."""
    return Call("GET", f"/items/{quote(item_id, safe='')}/image", lambda response: response.content)


def add_item(
    content: bytes, item_id: str | None, captions: Sequence[str], payload: Mapping[str, Any] | None
) -> Call[StoredItem]:
    """POST /items."""
    fields = {"captions": list(captions), "payload": payload or {}}
    parts: dict[str, Any] = {name: (None, json.dumps(value)) for name, value in fields.items()}
    if item_id is not None:
        parts["id"] = (None, item_id)
    return Call("POST", "/items", _stored, files={"image": ("image", content), **parts}, repeatable=False)


def delete_item(item_id: str) -> Call[None]:
    """DELETE /items/{id}."""
    return Call("DELETE", f"/items/{quote(item_id, safe='')}", lambda _: None, repeatable=False)


def info() -> Call[dict[str, Any]]:
    """GET /info."""
    return Call("GET", "/info", lambda response: dict(response.json()))


def reload() -> Call[Swap]:
    """POST /admin/reload."""
    return Call("POST", "/admin/reload", _swap)


def rollback(version: str | None) -> Call[Swap]:
    """POST /admin/rollback; without a version it must not be sent twice, as each goes one back."""
    return Call("POST", "/admin/rollback", _swap, json={"version": version}, repeatable=version is not None)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes of images as base64, also in the parts of a mix."""
    plain = {name: value for name, value in fields.items() if value is not None}
    if isinstance(plain.get("image"), bytes):
        plain["image"] = _base64(plain["image"])
    if plain.get("mix") is not None:
        plain["mix"] = [_plain(part) for part in plain["mix"]]
    return plain


def _text(value: Any) -> str:
    """A field of a form."""
    return value if isinstance(value, str) else json.dumps(value)


def _base64(content: bytes) -> str:
    return b64encode(content).decode()


def _search_answer(response: httpx.Response) -> SearchAnswer:
    return SearchAnswer.model_validate_json(response.content)


def _batch_answers(response: httpx.Response) -> list[BatchItem]:
    return BatchAnswer.model_validate_json(response.content).answers


def _embeddings(response: httpx.Response) -> list[list[float]]:
    return [one.embedding for one in Embeddings.model_validate_json(response.content).data]


def _stored(response: httpx.Response) -> StoredItem:
    return Stored.model_validate_json(response.content).item


def _swap(response: httpx.Response) -> Swap:
    return Swap.model_validate_json(response.content)
