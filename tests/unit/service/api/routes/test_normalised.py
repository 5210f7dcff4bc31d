"""POST /search on an index that knows its hubs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.artifacts import write_colour_model
from tests.galleries import rebuild_index, write_image
from tests.unit.service.conftest import make_app, open_client

COLOURS = ("red", "orange", "yellow", "green", "blue", "cyan", "magenta", "black", "white", "gray", "purple", "brown")
EACH = 10


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten squares of each colour, each with a caption: enough to tell hubs by."""
    place = tmp_path_factory.mktemp("normalised")
    write_colour_model(place / "model")
    rows = ["image,caption"]
    for colour in COLOURS:
        for number in range(EACH):
            write_image(place / "images" / f"{colour}-{number}.png", colour)
            rows.append(f"{colour}-{number}.png,a {colour} square")
    (place / "captions.csv").write_text("\n".join(rows) + "\n")
    rebuild_index(place / "model", place / "images", place / "index", place / "captions.csv")
    return place / "index"


@pytest.fixture
def client(index: Path) -> Iterator[TestClient]:
    with open_client(make_app(index)) as client:
        yield client


def hits(client: TestClient, **request: Any) -> list[dict[str, Any]]:
    response = client.post("/search", json={"limit": 50, **request})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["results"]
    assert len(found) == 50
    return found


def test_hubs_are_ranked_lower_and_both_scores_shown(client: TestClient) -> None:
    found = hits(client, text="a blue square")
    ranked, scores = [hit["rank_score"] for hit in found], [hit["score"] for hit in found]
    assert ranked == sorted(ranked, reverse=True)
    assert all(rank < score for rank, score in zip(ranked, scores, strict=True))
    plain = hits(client, text="a blue square", normalise=False)
    assert {hit["rank_score"] for hit in plain} == {None}
    assert [hit["score"] for hit in plain] == sorted((hit["score"] for hit in plain), reverse=True)
    assert {hit["id"]: hit["score"] for hit in plain}.items() >= {
        hit["id"]: hit["score"] for hit in found if hit["id"] in {other["id"] for other in plain}
    }.items()


def test_captions_are_normalised_for_an_image(client: TestClient) -> None:
    best = hits(client, text="a blue square")[0]
    assert hits(client, id=best["id"], target="text")[0]["rank_score"] is not None


@pytest.mark.parametrize(
    "request_",
    [
        {"text": "a blue square", "target": "text"},
        {"mix": [{"text": "a blue square"}, {"text": "a red square", "weight": -0.5}]},
        {"embedding": [1.0] * 3},
    ],
    ids=["its own modality", "a mix", "a vector"],
)
def test_what_has_no_bank_is_ranked_by_the_cosine(client: TestClient, request_: dict[str, Any]) -> None:
    if "embedding" in request_:
        dimension = client.get("/info").json()["model"]["dimension"]
        request_ = {"embedding": [1.0] * dimension}
    assert {hit["rank_score"] for hit in hits(client, **request_)} == {None}
