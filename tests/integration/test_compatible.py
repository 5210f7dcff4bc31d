"""Clients that were written for others: OpenAI's own, and what clip-retrieval's ClipClient sends."""

import asyncio
import base64
import json
from collections.abc import Iterator

import httpx2
import numpy as np
import openai
import pytest

from tests.galleries import build_gallery, image_bytes
from tests.servers import served

KEYS = "page:search:a-key-of-this-test"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    gallery = build_gallery(tmp_path_factory.mktemp("compatible"))
    with served(gallery.index, {"AAHR_API_KEYS": KEYS}) as (client, _):
        client.headers["Authorization"] = "Bearer a-key-of-this-test"
        yield client


@pytest.fixture(scope="module")
def official(client: httpx2.Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="a-key-of-this-test", max_retries=0) as official:
        yield official


def test_the_official_client_embeds_texts_that_find_what_they_say(
    official: openai.OpenAI, client: httpx2.Client
) -> None:
    answer = official.embeddings.create(model="colours", input=["a red square", "a blue square"])
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == 6
    vectors = [one.embedding for one in answer.data]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)
    for vector, uri in zip(vectors, ("red.jpg", "blue.jpg"), strict=True):
        found = client.post("/search", json={"embedding": vector, "limit": 1}).json()
        assert found["results"][0]["uri"] == uri


def test_numbers_and_base64_are_the_same(official: openai.OpenAI) -> None:
    plain = official.embeddings.create(model="aahr", input="green", encoding_format="float").data[0].embedding
    packed = official.embeddings.create(model="aahr", input="green", encoding_format="base64").data[0].embedding
    assert isinstance(packed, str)
    assert np.frombuffer(base64.b64decode(packed), "<f4").tolist() == pytest.approx(plain)
    assert official.embeddings.create(model="aahr", input="green", dimensions=16).data[0].embedding == plain


def test_many_texts_come_back_in_their_order(official: openai.OpenAI) -> None:
    colours = ["red", "green", "blue", "yellow"] * 50
    many = official.embeddings.create(model="aahr", input=colours).data
    for place in (1, 2, 3, 199):
        alone = official.embeddings.create(model="aahr", input=colours[place]).data[0].embedding
        assert many[place].embedding == pytest.approx(alone, abs=1e-6)


def test_the_asynchronous_client(client: httpx2.Client) -> None:
    async def embed() -> int:
        async with openai.AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="a-key-of-this-test") as official:
            answers = await asyncio.gather(
                *(official.embeddings.create(model="aahr", input=f"red {n}") for n in range(8))
            )
            return sum(len(answer.data[0].embedding) for answer in answers)

    assert asyncio.run(embed()) == 8 * 16


def test_models(official: openai.OpenAI) -> None:
    assert [model.id for model in official.models.list()] == ["colours"]
    assert official.models.retrieve("colours").id == "colours"
    with pytest.raises(openai.NotFoundError):
        official.models.retrieve("gpt")


def test_errors_are_those_that_the_client_knows(official: openai.OpenAI, client: httpx2.Client) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        official.embeddings.create(model="text-embedding-3-small", input="red")
    assert (unknown.value.code, unknown.value.param, unknown.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    for bad in ("", [], ["red", " "], [1, 2, 3], ["red"] * 257):
        with pytest.raises(openai.UnprocessableEntityError):
            official.embeddings.create(model="aahr", input=bad)  # type: ignore[arg-type]
    with pytest.raises(openai.UnprocessableEntityError):
        official.embeddings.create(model="aahr", input="red", dimensions=3)
    with (
        openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.embeddings.create(model="aahr", input="red")
    assert official.embeddings.create(model="aahr", input="red").data


def test_images_are_embedded_beside_texts(client: httpx2.Client) -> None:
    image = base64.b64encode(image_bytes("blue")).decode()
    body = {"model": "aahr", "input": [{"image": image}, {"text": "blue"}, "red"]}
    first, second, third = (one["embedding"] for one in client.post("/v1/embeddings", json=body).json()["data"])
    assert np.dot(first, second) > 0.9 > np.dot(first, third)


def clip_client(client: httpx2.Client, **asked: object) -> httpx2.Response:
    """What ClipClient 2.45 sends: every field, null where it has nothing, and no content type."""
    body = {
        "text": None,
        "image": None,
        "image_url": None,
        "embedding_input": None,
        "deduplicate": True,
        "use_safety_model": True,
        "use_violence_detector": True,
        "use_mclip": False,
        "indice_name": "gallery-index",
        "aesthetic_score": 9,
        "aesthetic_weight": 0.5,
        "modality": "image",
        "num_images": 2,
        "num_result_ids": 2,
        **asked,
    }
    return client.post("/knn-service", content=json.dumps(body))


def test_what_clip_client_sends_is_answered_as_it_reads_it(client: httpx2.Client) -> None:
    first, second = clip_client(client, text="a red square").json()
    assert (first["caption"], first["image_path"], first["photographer"]) == (
        "a red square",
        "red.jpg",
        "red@example",
    )
    assert first["similarity"] > second["similarity"]
    assert client.get(first["url"]).headers["content-type"] == "image/jpeg"
    image = base64.b64encode(image_bytes("blue")).decode()
    assert clip_client(client, image=image).json()[0]["image_path"] == "blue.jpg"
    assert clip_client(client, image=image, modality="text").json()[0]["caption"] == "a blue square"
    vector = client.post("/v1/embeddings", json={"model": "aahr", "input": "green"}).json()["data"][0]["embedding"]
    assert clip_client(client, embedding_input=vector).json()[0]["image_path"] == "green.jpg"


def test_hits_beyond_num_images_have_no_metadata(client: httpx2.Client) -> None:
    hits = clip_client(client, text="red", num_images=1, num_result_ids=4, deduplicate=False).json()
    assert [set(hit) == {"id", "similarity"} for hit in hits] == [False, True, True, True]


def test_indexes_and_metadata(client: httpx2.Client) -> None:
    (hit,) = clip_client(client, text="red", num_images=1, num_result_ids=1).json()
    assert client.get("/indices-list").json() == ["gallery-index"]
    found = client.post("/metadata", json={"ids": [hit["id"]], "indice_name": "gallery-index"}).json()
    assert found == [{"id": hit["id"], "metadata": {k: v for k, v in hit.items() if k not in ("id", "similarity")}}]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 422),
        ({"text": "red", "image": "aGVsbG8="}, 422),
        ({"text": "red", "num_images": 0}, 422),
        ({"text": "red", "modality": "sound"}, 422),
        ({"embedding_input": [float("nan")] * 16}, 422),
        ({"image_url": "http://127.0.0.1:1/"}, 422),
        ({"text": 1}, 422),
    ],
)
def test_bad_requests_are_refused(client: httpx2.Client, asked: dict[str, object], status: int) -> None:
    response = clip_client(client, **asked)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    assert clip_client(client, text="red").json()


def test_what_is_not_json_is_refused(client: httpx2.Client) -> None:
    for path in ("/knn-service", "/metadata"):
        assert client.post(path, content=b"{").status_code == 400
        assert client.post(path, content=b"[" * 100_000).status_code == 400
