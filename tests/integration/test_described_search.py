"""Descriptions from gallery to answer: made at the rebuild, shown by hits, made of image queries and uploads."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from index.items import Modality
from model.artifact import ModelArtifact, SemanticsReference
from model.descriptions import Source
from model.descriptions.of_model import load_describer
from model.descriptions.openai import Endpoint, OpenAIDescriber
from model.errors import ArtifactMismatch, ConfigError
from service.server import load_app
from service.settings import Settings
from tests.artifacts import rewrite_manifest, write_colour_model
from tests.chat_server import Reply, Script, chat_server, completion
from tests.describers import write_describer
from tests.galleries import image_bytes, open_index, rebuild_index, write_image

COLOURS = ("red", "blue", "navy")
MODEL_NAME = "describer-7b"
SAID = "a green square"


def fusing_model(directory: Path, source: Source) -> ModelArtifact:
    return write_colour_model(
        directory,
        semantics=SemanticsReference(
            describer=source.describer, prompt_hash=source.prompt_hash, sentence_encoder="colour-words"
        ),
    )


def built(place: Path, artifact: ModelArtifact) -> Path:
    for colour in COLOURS:
        write_image(place / "images" / f"{colour}.png", colour)
    rebuild_index(artifact.directory, place / "images", place / "index")
    return place / "index"


@contextmanager
def served(index: Path, **settings: object) -> Iterator[TestClient]:
    app = load_app(Settings.model_validate({"index_dir": index, "threads": 2, "watch_s": 0, **settings}))
    with TestClient(app, "http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client


@pytest.fixture(scope="module")
def by_neighbours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of a model that came with a describer, which describes by four squares of other colours."""
    place = tmp_path_factory.mktemp("neighbours")
    source = load_describer("neighbours", write_describer(place / "describer")).source
    artifact = fusing_model(place / "model", source)
    write_describer(artifact.directory)
    # The tiny describer takes 4 x 4 pixels, the tiny model 8 x 8.
    rewrite_manifest(artifact)
    return built(place, artifact)


def test_the_gallery_is_described_by_the_describer_of_the_model(by_neighbours: Path) -> None:
    items = {item.uri: item.description for item in open_index(by_neighbours).items(Modality.IMAGE)}
    assert set(items) == {f"{colour}.png" for colour in COLOURS}
    assert items["red.png"] in {"a dark red square.", "red , but dark."}
    assert items["navy.png"] in {"a blue sky.", "the sky is blue."}


def test_hits_show_their_description_and_an_image_query_its_own(by_neighbours: Path) -> None:
    with served(by_neighbours) as client:
        red = base64.b64encode(image_bytes("red", "PNG")).decode()
        answer = client.post("/search", json={"image": red, "target": "image", "limit": 1}).json()
        (hit,) = answer["results"]
        assert hit["uri"] == "red.png"
        assert hit["score"] == pytest.approx(1, abs=1e-4)  # described as the gallery was
        assert hit["description"] == answer["query"]["description"]
        assert answer["query"]["notes"] == []
        found = client.post("/search", json={"text": "blue", "target": "image", "limit": 3})
        assert [hit["uri"] for hit in found.json()["results"]][2] == "red.png"
        assert found.json()["query"]["description"] is None
        again = client.post("/search", json={"image": red, "target": "image", "limit": 1})
        assert (again.json()["cached"], again.json()["query"]) == (True, answer["query"])
        other = client.post("/search", json={"image": red, "target": "image", "limit": 2})
        assert "describe;dur=" in other.headers["server-timing"]
        assert other.json()["query"] == answer["query"]


def test_what_is_put_in_over_http_is_described(by_neighbours: Path) -> None:
    with served(by_neighbours) as client:
        stored = client.post("/items", files={"image": image_bytes("mediumblue", "PNG")})
        assert stored.status_code == 201, stored.text
        item = client.get(f"/items/{stored.json()['item']['id']}").json()
        assert item["description"] in {"a blue sky.", "the sky is blue.", "a dark blue sky.", "night sky."}
        client.delete(f"/items/{stored.json()['item']['id']}")


def of_server(place: Path, url: str) -> ModelArtifact:
    """A model that was described by a server."""
    with OpenAIDescriber(Endpoint.of(url, MODEL_NAME, {}), "generated") as describer:
        return fusing_model(place / "model", describer.source)


def searched(client: TestClient, colour: str) -> dict[str, object]:
    image = base64.b64encode(image_bytes(colour, "PNG")).decode()
    response = client.post("/search", json={"image": image, "target": "image", "limit": 3})
    assert response.status_code == 200, response.text
    query: dict[str, object] = response.json()["query"]
    return query


def script(answer: Reply) -> Script:
    return lambda _: answer


def test_a_server_describes_queries_within_its_time(tmp_path: Path) -> None:
    with chat_server(script(completion(SAID))) as server:
        index = built(tmp_path, of_server(tmp_path, server.url))
        with served(index, describe_url=server.url, describe_timeout_s=5.0) as client:
            query = searched(client, "green")
    assert (query["description"], query["notes"]) == (SAID, [])
    assert all(item.description is None for item in open_index(index).items(Modality.IMAGE))  # nobody described those


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Reply(completion(SAID).body, after_s=3.0), "did not answer within 0.4 s"),
        (Reply(b"{", 500), "the server answers 500"),
        (completion(""), "empty"),
        (Reply(b"not json"), "the answer"),
    ],
)
def test_a_server_that_fails_costs_no_request(tmp_path: Path, answer: Reply, reason: str) -> None:
    with chat_server(script(answer)) as server:
        index = built(tmp_path, of_server(tmp_path, server.url))
        with served(index, describe_url=server.url, describe_timeout_s=0.4) as client:
            query = searched(client, "green")
    assert query["description"] is None
    (note,) = query["notes"]  # type: ignore[misc]
    assert "the image was not described" in note
    assert reason in note


def test_an_answer_without_a_description_is_not_kept_where_the_next_may_have_one(tmp_path: Path) -> None:
    answers = [Reply(b"{", 401), completion("a caption"), completion(SAID)]
    with chat_server(lambda asked: answers[min(asked.number, 2)]) as server:
        index = built(tmp_path, of_server(tmp_path, server.url))
        with served(index, describe_url=server.url, describe_timeout_s=5.0) as client:
            assert searched(client, "green")["description"] is None
            time.sleep(2.1)  # the pause of the breaker
            assert searched(client, "green")["description"] == SAID
            assert searched(client, "green")["description"] == SAID
        assert len(server.asked) == 3  # the last one came from the cache


def test_without_a_server_the_answer_says_so(tmp_path: Path) -> None:
    index = built(tmp_path, of_server(tmp_path, "http://127.0.0.1:9/v1"))
    with served(index) as client:
        (note,) = searched(client, "green")["notes"]  # type: ignore[misc]
        assert "the model came without its describer" in note
        assert searched(client, "green")["notes"] == [note]  # not lost in a cache


def test_a_server_that_does_not_belong_to_the_model_is_refused_at_the_start(tmp_path: Path) -> None:
    index = built(tmp_path, fusing_model(tmp_path / "model", Source(f"openai:{MODEL_NAME}", "f" * 16)))
    with pytest.raises(ArtifactMismatch, match=f"trained on descriptions by openai:{MODEL_NAME} \\(ffff"):
        load_app(Settings(index_dir=str(index), describe_url="http://127.0.0.1:9/v1"))
    strange = built(tmp_path / "other", fusing_model(tmp_path / "other" / "model", Source("people", "f" * 16)))
    with pytest.raises(ConfigError, match="described by people, which is not a server"):
        load_app(Settings(index_dir=str(strange), describe_url="http://127.0.0.1:9/v1"))
