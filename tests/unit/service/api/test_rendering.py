"""Whatever a gallery holds can be shown."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from index.items import Item, Modality, image_item_id
from service.api.rendering import MAX_PAYLOAD_LEVELS, is_too_deep, shown_fields, to_json
from service.api.schemas import Item as ShownItem

RED = image_item_id("red.jpg")


def nested(levels: int, *, lists: bool = False) -> dict[str, Any]:
    """Objects, or lists in an object, in this many levels."""
    value: Any = 1
    for _ in range(levels - 1):
        value = [value] if lists else {"a": value}
    return {"a": value}


@pytest.fixture
def with_payload(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the red image another payload, as an index could hold that was built by an earlier release."""

    def give(payload: Mapping[str, Any]) -> None:
        def changed(item: Item, with_payload: bool) -> dict[str, object]:
            return shown_fields(replace(item, payload=payload) if item.id == RED else item, with_payload)

        for module in ("service.api.rendering", "service.api.routes.items"):
            monkeypatch.setattr(f"{module}.shown_fields", changed)

    return give


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("levels", [1, 2, MAX_PAYLOAD_LEVELS, MAX_PAYLOAD_LEVELS + 1, 300, 900, 100_000])
def test_depth(levels: int, lists: bool) -> None:
    assert is_too_deep(nested(levels, lists=lists)) == (levels > MAX_PAYLOAD_LEVELS)


@pytest.mark.parametrize("payload", [{}, {"a": 1, "b": "text", "c": None}, {"a": [], "b": {}}, {"a": [[1], {"b": 2}]}])
def test_plain_payloads_are_shown(payload: dict[str, Any]) -> None:
    assert shown_fields(Item("i", Modality.IMAGE, "u", payload=payload), True)["payload"] == payload
    assert shown_fields(Item("i", Modality.IMAGE, "u", payload=payload), False)["payload"] is None


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    item = ShownItem(
        id="i",
        modality=Modality.IMAGE,
        uri="\udcff.jpg",
        caption="é\ud800",
        payload={"a": ["\udfff"]},
        description="\ud800",
    )
    shown = json.loads(to_json(item).decode())
    assert (shown["uri"], shown["caption"], shown["payload"]) == ("?.jpg", "é?", {"a": ["?"]})
    assert shown["description"] == "?"


def test_a_description_is_shown_where_there_is_one() -> None:
    described = Item("i", Modality.IMAGE, "u", description="a dog on a beach")
    for with_payload in (True, False):
        assert shown_fields(described, with_payload)["description"] == "a dog on a beach"
        assert shown_fields(replace(described, description=None), with_payload)["description"] is None


@pytest.mark.parametrize("levels", [MAX_PAYLOAD_LEVELS, MAX_PAYLOAD_LEVELS + 1, 252, 300, 900])
def test_deep_payload_is_left_out_and_the_search_says_so(client: TestClient, with_payload: Any, levels: int) -> None:
    with_payload(nested(levels))
    shown = nested(levels) if levels <= MAX_PAYLOAD_LEVELS else None
    response = client.post("/search", json={"text": "red", "limit": 2})
    answer = response.json()
    assert (response.status_code, answer["results"][0]["id"], answer["results"][0]["payload"]) == (200, RED, shown)
    assert answer["results"][1]["payload"] is not None
    assert [RED in note for note in answer["query"]["notes"]] == [True] * (shown is None)
    assert client.post("/search", json={"text": "red", "with_payload": False}).json()["query"]["notes"] == []
    item = client.get(f"/items/{RED}")
    assert (item.status_code, item.json()["payload"]) == (200, shown)


def test_text_that_utf_8_cannot_carry_is_shown(client: TestClient, with_payload: Any) -> None:
    with_payload({"a": "\ud800"})
    assert client.post("/search", json={"text": "red"}).json()["results"][0]["payload"] == {"a": "?"}
    assert client.get(f"/items/{RED}").json()["payload"] == {"a": "?"}
