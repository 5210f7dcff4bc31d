"""Probabilities and equally good hits, as clients of a calibrated model see them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from index.items import image_item_id
from model.artifact import load_model_artifact
from tests.artifacts import write_calibrated
from tests.galleries import build_gallery
from tests.unit.service.conftest import make_app, open_client

RED = image_item_id("red.jpg")
MARGIN = 0.4


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery whose model was calibrated after it was indexed."""
    gallery = build_gallery(tmp_path_factory.mktemp("calibrated"))
    write_calibrated(load_model_artifact(gallery.model), margin=MARGIN)
    return gallery.index


@pytest.fixture
def calibrated(index: Path) -> Iterator[TestClient]:
    with open_client(make_app(index)) as client:
        yield client


def search(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/search", json=fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("query", [{"text": "red"}, {"id": RED}])
def test_hits_of_the_other_modality_have_both(calibrated: TestClient, query: dict[str, Any]) -> None:
    hits = search(calibrated, **query)["results"]
    scores = np.array([hit["score"] for hit in hits])
    assert [hit["probability"] for hit in hits] == pytest.approx(1 / (1 + np.exp(10 - 20 * scores)), abs=1e-5)
    assert [hit["equally_good"] for hit in hits] == (scores >= scores[0] - MARGIN).tolist()
    assert hits[0]["equally_good"] is True
    assert hits[-1]["equally_good"] is False


@pytest.mark.parametrize(
    "query",
    [
        {"id": RED, "target": "image"},
        {"text": "red", "target": "text"},
        {"embedding": [1.0] * 16},
        {"mix": [{"text": "red"}, {"text": "blue"}]},
        {"mix": [{"text": "red", "weight": -1.0}]},
    ],
)
def test_what_is_not_calibrated_is_null(calibrated: TestClient, query: dict[str, Any]) -> None:
    answer = search(calibrated, **query)
    assert {(hit["probability"], hit["equally_good"]) for hit in answer["results"]} == {(None, None)}
    assert answer["query"]["notes"] == []


def test_later_pages_do_not_know_the_best_hit(calibrated: TestClient) -> None:
    hits = search(calibrated, text="red", offset=1)["results"]
    assert {hit["equally_good"] for hit in hits} == {None}
    assert all(hit["probability"] is not None for hit in hits)


def test_an_improbable_best_answer_is_noted(tmp_path: Path, calibrated: TestClient) -> None:
    assert search(calibrated, text="red")["query"]["notes"] == []
    gallery = build_gallery(tmp_path)
    write_calibrated(load_model_artifact(gallery.model), intercept=-40.0)
    with open_client(make_app(gallery.index)) as client:
        (note,) = search(client, text="red")["query"]["notes"]
        assert note.startswith("no answer is probable; the best has a probability of 0.0")
        assert search(client, text="red", score_threshold=1.5)["query"]["notes"] == []  # no answer at all


def test_batches_and_explanations_say_the_same_as_a_search(calibrated: TestClient) -> None:
    (hit, *_) = search(calibrated, text="red")["results"]
    batch = calibrated.post("/search/batch", json={"searches": [{"text": "red"}]}).json()
    assert batch["answers"][0]["answer"]["results"][0]["probability"] == hit["probability"]
    explained = calibrated.post("/explain", json={"text": "red", "id": hit["id"]}).json()
    assert explained["probability"] == pytest.approx(hit["probability"], abs=1e-4)


def test_another_calibration_gives_other_cached_answers(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    keys = []
    for calibrate in (lambda _: None, write_calibrated, lambda model: write_calibrated(model, margin=0.2)):
        calibrate(load_model_artifact(gallery.model))
        with open_client(make_app(gallery.index)) as client:
            keys.append(client.app_state["resources"].generations.current.scored_by)
    assert len(set(keys)) == 3


def test_an_uncalibrated_model_says_null(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with open_client(make_app(gallery.index)) as client:
        assert {hit["probability"] for hit in search(client, text="red")["results"]} == {None}
