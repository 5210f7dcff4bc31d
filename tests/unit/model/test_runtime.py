"""Encoding with exported graphs: chunks, threads and padding change nothing."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from model.artifact import load_model_artifact
from model.errors import ArtifactCorrupt, ArtifactMissing, EmptyText, InvalidInput, UnsupportedQuery
from model.preprocess import Tokens, prepare_images
from model.runtime import IMAGE_CHUNK, TEXT_CHUNK, Runtime
from tests.artifacts import COLOURS, WORDS, write_colour_model, write_first_format, write_region_model

DIMENSION = 16


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    artifact = write_colour_model(tmp_path_factory.mktemp("colours"), dimension=DIMENSION)
    with Runtime.load(artifact, workers=3) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def of_regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with Runtime.load(write_region_model(tmp_path_factory.mktemp("regions"), dimension=DIMENSION)) as runtime:
        yield runtime


def random_pixels(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(rows, 3, 8, 8)).astype(np.float32)


def random_texts(rows: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice([*COLOURS, *WORDS], rng.integers(1, 14))) for _ in range(rows)]


def assert_embeddings(embeddings: NDArray[np.float32], rows: int) -> None:
    assert embeddings.shape == (rows, DIMENSION)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


def test_the_words_for_a_colour_find_its_images(runtime: Runtime) -> None:
    images = runtime.encode_images([Image.new("RGB", (30, 20), colour) for colour in COLOURS])
    texts = runtime.encode_texts([f"the picture of a {colour} square" for colour in COLOURS])
    assert_embeddings(images, len(COLOURS))
    assert_embeddings(texts, len(COLOURS))
    assert (texts @ images.T).argmax(axis=1).tolist() == list(range(len(COLOURS)))


def test_what_the_model_is(runtime: Runtime) -> None:
    manifest = runtime.artifact.manifest
    assert (runtime.model_id, runtime.name, runtime.dimension) == (manifest.model_id, "colours", DIMENSION)
    assert runtime.accepts_pixels
    assert runtime.preprocessing == runtime.artifact.preprocessing
    assert runtime.tokenizer.max_length == runtime.preprocessing.text.max_length


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4 * IMAGE_CHUNK * 3 + 1])
def test_pixels_in_any_number_equal_each_one_alone(runtime: Runtime, rows: int) -> None:
    pixels = random_pixels(rows)
    embeddings = runtime.encode_pixels(pixels)
    assert_embeddings(embeddings, rows)
    for row in range(rows):
        np.testing.assert_allclose(embeddings[row], runtime.encode_pixels(pixels[row : row + 1])[0], atol=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4 * TEXT_CHUNK * 3 + 1])
def test_texts_of_any_length_and_number_equal_each_one_alone(runtime: Runtime, rows: int) -> None:
    texts = random_texts(rows)
    embeddings = runtime.encode_texts(texts)
    assert_embeddings(embeddings, rows)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(embeddings[row], runtime.encode_texts([text])[0], atol=1e-6)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(12)), st.integers(0, 6))
def test_order_and_padding_of_tokens_change_nothing(runtime: Runtime, order: list[int], padding: int) -> None:
    tokens = runtime.tokenizer(random_texts(12))
    expected = runtime.encode_tokens(tokens)
    ids, mask = (np.pad(array[order], ((0, 0), (0, padding))) for array in tokens[:2])
    found = runtime.encode_tokens(Tokens(ids, mask, tokens.truncated[order]))
    np.testing.assert_allclose(found, expected[order], atol=1e-6)


def test_padding_on_the_left_is_understood(runtime: Runtime) -> None:
    tokens = runtime.tokenizer(["red", "blue green dog"])
    ids, mask = (np.pad(array, ((0, 0), (3, 2))) for array in tokens[:2])
    found = runtime.encode_tokens(Tokens(ids, mask, tokens.truncated))
    np.testing.assert_allclose(found, runtime.encode_tokens(tokens), atol=1e-6)


def test_images_equal_their_prepared_pixels(runtime: Runtime) -> None:
    images = [Image.new("RGB", (5 + row, 9), (row * 20, 100, 255 - row * 20)) for row in range(11)]
    assert runtime.preprocessing.image is not None
    expected = runtime.encode_pixels(prepare_images(images, runtime.preprocessing.image))
    np.testing.assert_array_equal(runtime.encode_images(images), expected)
    assert runtime.encode_images([]).shape == (0, DIMENSION)


def test_local_features_pool_to_the_local_embedding(runtime: Runtime) -> None:
    pixels, tokens = random_pixels(3), runtime.tokenizer(["red", "blue green dog"])
    images, texts = runtime.pixels_local(pixels), runtime.tokens_local(tokens)
    np.testing.assert_allclose(images.embedding, runtime.encode_pixels(pixels), atol=1e-6)
    np.testing.assert_allclose(texts.embedding, runtime.encode_tokens(tokens), atol=1e-6)
    assert images.local_features.shape == (3, 4, DIMENSION)
    assert texts.local_features.shape == (2, 3, DIMENSION)
    np.testing.assert_allclose(images.local_features.mean(axis=1), images.local_embedding, atol=1e-6)
    np.testing.assert_allclose(texts.local_features[0, 0], texts.local_embedding[0], atol=1e-6)


def test_no_items_have_no_local_features(runtime: Runtime) -> None:
    for local in (runtime.pixels_local(random_pixels(0)), runtime.tokens_local(runtime.tokenizer([]))):
        assert [len(array) for array in local] == [0, 0, 0]


def test_a_model_of_the_first_format_is_served_without_its_local_features(tmp_path: Path, runtime: Runtime) -> None:
    artifact = write_first_format(write_colour_model(tmp_path, dimension=DIMENSION))
    refused = pytest.raises(UnsupportedQuery, match=r"format aahr-model/1, whose local features are V'.*`aahr export`")
    with Runtime.load(artifact, workers=1) as first:
        np.testing.assert_array_equal(first.encode_texts(["red"]), runtime.encode_texts(["red"]))
        np.testing.assert_array_equal(first.encode_pixels(random_pixels(2)), runtime.encode_pixels(random_pixels(2)))
        with refused:
            first.pixels_local(random_pixels(1))
        with refused:
            first.tokens_local(first.tokenizer(["red"]))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((1, 3, 9, 9), np.float32), r"pixels is float32 \[1, 3, 9, 9\]"),
        (np.zeros((3, 8, 8), np.float32), r"pixels is float32 \[3, 8, 8\]"),
        (np.zeros((1, 3, 8, 8), np.uint8), "pixels is uint8"),
        (np.full((1, 3, 8, 8), np.nan, np.float32), "pixels has values that are not finite"),
        (np.full((1, 3, 8, 8), np.inf, np.float32), "pixels has values that are not finite"),
    ],
)
def test_bad_pixels_are_refused_and_good_ones_then_work(runtime: Runtime, pixels: NDArray[Any], message: str) -> None:
    for encode in (runtime.encode_pixels, runtime.pixels_local):
        with pytest.raises(InvalidInput, match=message):
            encode(pixels)
    assert_embeddings(runtime.encode_pixels(random_pixels(1)), 1)


@pytest.mark.parametrize(
    ("ids", "mask", "message"),
    [
        (np.ones((2, 3), np.int32), np.ones((2, 3), np.int64), "input_ids is int32"),
        (np.ones((2, 3), np.int64), np.ones((2, 4), np.int64), r"input_ids is \[2, 3\], attention_mask \[2, 4\]"),
        (
            np.ones((2, 3), np.int64),
            np.array([[1, 1, 0], [0, 0, 0]]),
            r"attention_mask leaves nothing in the rows \[1\]",
        ),
        (np.ones((1, 0), np.int64), np.ones((1, 0), np.int64), r"attention_mask leaves nothing in the rows \[0\]"),
    ],
)
def test_bad_tokens_are_refused(runtime: Runtime, ids: NDArray[Any], mask: NDArray[Any], message: str) -> None:
    for encode in (runtime.encode_tokens, runtime.tokens_local):
        with pytest.raises(InvalidInput, match=message):
            encode(Tokens(ids, mask, np.zeros(len(ids), bool)))


def test_a_bad_text_is_refused_and_a_good_one_then_works(runtime: Runtime) -> None:
    with pytest.raises(EmptyText):
        runtime.encode_texts(["red", "\x00"])
    assert_embeddings(runtime.encode_texts(["red"]), 1)


def test_a_model_of_regions_serves_texts_and_regions_but_no_images(of_regions: Runtime) -> None:
    assert not of_regions.accepts_pixels
    of_regions.warm_up()
    assert_embeddings(of_regions.encode_texts(["red"]), 1)
    refused = pytest.raises(UnsupportedQuery, match="serves text queries and galleries of precomputed regions")
    with refused:
        of_regions.encode_images([Image.new("RGB", (8, 8))])
    with refused:
        of_regions.encode_pixels(random_pixels(1))
    with refused:
        of_regions.pixels_local(random_pixels(1))


def test_a_model_of_images_takes_no_regions(runtime: Runtime) -> None:
    with pytest.raises(UnsupportedQuery, match="takes images, not precomputed regions"):
        runtime.encode_regions(np.zeros((1, 2, 3), np.float32), np.ones((1, 2), np.bool_), np.zeros((1, 3), np.float32))


def test_padded_regions_change_nothing(of_regions: Runtime) -> None:
    rng = np.random.default_rng(0)
    regions, features = rng.normal(size=(7, 5, 3)).astype(np.float32), rng.normal(size=(7, 3)).astype(np.float32)
    mask = np.arange(5) < rng.integers(1, 6, 7)[:, None]
    embeddings = of_regions.encode_regions(regions, mask, features)
    assert_embeddings(embeddings, 7)
    for row in range(7):
        length = mask[row].sum()
        alone = of_regions.encode_regions(
            regions[row : row + 1, :length], mask[row : row + 1, :length], features[row : row + 1]
        )
        np.testing.assert_allclose(embeddings[row], alone[0], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regions": np.zeros((2, 4, 7), np.float32)}, r"regions is float32 \[2, 4, 7\]"),
        ({"region_mask": np.ones((2, 4), np.int64)}, "region_mask is int64"),
        ({"region_mask": np.ones((2, 3), np.bool_)}, "rows differ"),
        ({"global_features": np.ones((1, 3), np.float32)}, "rows differ"),
        ({"region_mask": np.zeros((2, 4), np.bool_)}, r"region_mask leaves nothing in the rows \[0, 1\]"),
        ({"regions": np.full((2, 4, 3), np.nan, np.float32)}, "regions has values that are not finite"),
    ],
)
def test_bad_regions_are_refused(of_regions: Runtime, change: dict[str, NDArray[Any]], message: str) -> None:
    good: dict[str, NDArray[Any]] = {
        "regions": np.ones((2, 4, 3), np.float32),
        "region_mask": np.ones((2, 4), np.bool_),
        "global_features": np.ones((2, 3), np.float32),
    }
    with pytest.raises(InvalidInput, match=message):
        of_regions.encode_regions(**{**good, **change})
    assert_embeddings(of_regions.encode_regions(**good), 2)


def test_many_callers_share_the_pool(runtime: Runtime) -> None:
    texts = random_texts(60)
    expected = runtime.encode_texts(texts)
    with ThreadPoolExecutor(20) as callers:
        found = list(callers.map(lambda text: runtime.encode_texts([text])[0], texts))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("encode_")]
    assert len(workers) <= 3 + 2 * 2  # this runtime's and those of the other fixture


def test_closing_stops_the_threads(runtime: Runtime) -> None:
    before = threading.active_count()
    other = Runtime.load(runtime.artifact, workers=2)
    other.encode_pixels(random_pixels(20))
    assert threading.active_count() > before
    other.close()
    other.close()
    assert threading.active_count() == before


def test_a_directory_is_checked_and_loaded(runtime: Runtime, tmp_path: Path) -> None:
    with Runtime.load(runtime.artifact.directory) as other:
        other.warm_up()
        assert other.model_id == runtime.model_id
    with pytest.raises(ArtifactMissing):
        Runtime.load(tmp_path)


def test_swapped_graphs_are_refused_even_unverified(tmp_path: Path) -> None:
    artifact = write_colour_model(tmp_path)
    artifact.image_graph.write_bytes(artifact.text_graph.read_bytes())
    with pytest.raises(ArtifactCorrupt, match=r"image\.onnx has the inputs .*, expected \['pixels'\]"):
        Runtime.load(load_model_artifact(tmp_path, verify=False))
