"""GET /facets: what a gallery can be filtered by."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from index.items import Item, Modality
from service.core import facets
from service.core.facets import facets_of
from tests.galleries import BuiltGallery, build_gallery, write_image
from tests.unit.service.conftest import make_app, open_client


def of(*payloads: dict[str, Any]) -> dict[str, dict[Any, int]]:
    items = [
        Item(f"i{place}", Modality.IMAGE, f"{place}.jpg", f"caption {place}", payload, None)
        for place, payload in enumerate(payloads)
    ]
    gallery: Any = SimpleNamespace(items=lambda _: iter(items), count=lambda _: len(items))
    found = facets_of(gallery)
    assert found.complete == (len(items) <= facets.ITEMS)
    return {facet.key: dict(facet.values) for facet in found.facets}


def test_values_are_counted_by_their_paths() -> None:
    payloads = [{"kind": kind, "at": {"night": kind == "a"}, "tags": ["x", "x", kind]} for kind in "aabb"]
    assert of(*payloads) == {
        "kind": {"a": 2, "b": 2},
        "at.night": {True: 2, False: 2},
        "tags": {"x": 4, "a": 2, "b": 2},
    }


def test_what_chooses_nothing_is_left_out() -> None:
    """One value for all, a name for each, floats, long texts, numbers of something, and nulls."""
    payloads = [
        {"all": 1, "name": f"n{place}", "size": place / 3, "text": "x" * 100, "number": place // 2, "none": None}
        for place in range(100)
    ]
    assert of(*payloads) == {}
    assert of() == {}


def test_a_large_gallery_is_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "ITEMS", 4)
    assert of(*[{"kind": kind} for kind in "aabbcc"]) == {"kind": {"a": 2, "b": 2}}


def test_the_served_version_is_counted(tmp_path: Path) -> None:
    gallery: BuiltGallery = build_gallery(tmp_path)
    gallery.captions.write_text(
        "image,caption,kind\nred.jpg,a red square,warm\nmore/yellow.jpg,a yellow square,warm\n"
        "blue.jpg,a blue square,cold\ngreen.jpg,a green square,cold\n"
    )
    gallery.publish()
    with open_client(make_app(gallery.index)) as client:
        first = client.get("/facets").json()
        (facet,) = first["facets"]
        assert facet["key"] == "kind"
        assert {one["value"]: one["count"] for one in facet["values"]} == {"warm": 2, "cold": 2}
        assert (first["complete"], len(first["examples"])) == (True, 4)
        assert len(client.get("/facets?examples=1").json()["examples"]) == 1
        assert client.get("/facets?examples=13").status_code == 422
        write_image(gallery.images / "cyan.jpg", "cyan")
        gallery.publish(captions=False)
        client.post("/admin/reload")
        assert client.get("/facets").json()["facets"] == []
